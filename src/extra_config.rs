//! The file beside the reference's configuration that sets log level, AWS profile and environment
//! variables: `key=value` lines.

use std::collections::BTreeMap;
use std::path::Path;

use weir_config::Environment;

/// Where the reference's packages keep the file.
pub const EXTRA_CONFIG_PATH: &str = if cfg!(windows) {
    r"C:\ProgramData\Amazon\AWSOTelCollector\Configs\extracfg.txt"
} else {
    "/opt/aws/aws-otel-collector/etc/extracfg.txt"
};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraConfig {
    log_level: Option<String>,
    variables: BTreeMap<String, String>,
}

impl ExtraConfig {
    /// Reads the file; `None` if there is none or it cannot be read, which is no error.
    pub fn read(path: &Path) -> Option<Self> {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| Self::parse(&text))
    }

    /// Understands `key=value` lines; `#` starts a comment line, later lines win, other lines and
    /// blanks round key and value do not count.
    pub fn parse(text: &str) -> Self {
        let mut extra = Self::default();
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'));
        for (key, value) in lines.filter_map(|line| line.split_once('=')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "" => {}
                "loggingLevel" => extra.log_level = Some(value),
                "awsProfile" => drop(extra.variables.insert("AWS_PROFILE".to_owned(), value)),
                "awsCredentialFile" => {
                    extra
                        .variables
                        .insert("AWS_SHARED_CREDENTIALS_FILE".to_owned(), value);
                }
                name => drop(extra.variables.insert(name.to_owned(), value)),
            }
        }
        extra
    }

    /// The source that sets the log level, to be laid over the files.
    pub fn location(&self) -> Option<String> {
        let level = self.log_level.as_ref().filter(|level| !level.is_empty())?;
        Some(format!("yaml:service::telemetry::logs::level: {level}"))
    }

    /// The environment with the file's variables laid over it (CFG-14). The process' own environment
    /// stays as it is: changing it is not safe once threads run.
    pub fn over<'a>(&'a self, base: &'a dyn Environment) -> ExtraEnvironment<'a> {
        ExtraEnvironment {
            extra: &self.variables,
            base,
        }
    }
}

/// Environment variables with those of the extra configuration file laid over them.
pub struct ExtraEnvironment<'a> {
    extra: &'a BTreeMap<String, String>,
    base: &'a dyn Environment,
}

impl Environment for ExtraEnvironment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.extra
            .get(name)
            .cloned()
            .or_else(|| self.base.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_log_level_and_variables() {
        let text = "# comment\n loggingLevel = DEBUG \nawsProfile=p\nawsCredentialFile=/c\n\nnonsense\n\
                    =x\nX=a=b\nX=c=d\n#Y=1\r\nEMPTY=\r\n";
        let extra = ExtraConfig::parse(text);
        assert_eq!(
            extra.location().as_deref(),
            Some("yaml:service::telemetry::logs::level: DEBUG")
        );
        let base: BTreeMap<String, String> = [("X", "base"), ("Z", "z")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let environment = extra.over(&base);
        for (name, wanted) in [
            ("AWS_PROFILE", Some("p")),
            ("AWS_SHARED_CREDENTIALS_FILE", Some("/c")),
            ("X", Some("c=d")),
            ("Z", Some("z")),
            ("EMPTY", Some("")),
            ("Y", None),
            ("loggingLevel", None),
        ] {
            assert_eq!(environment.get(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn a_missing_file_is_nothing() {
        assert_eq!(
            ExtraConfig::read(Path::new("/nonexistent/extracfg.txt")),
            None
        );
        assert_eq!(ExtraConfig::default().location(), None);
    }
}
