//! The shared configuration and credentials files of the AWS tools.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use weir_config::Environment;
use weir_core::BuildError;

use super::set;

/// Larger files are not profiles.
const MOST_BYTES: u64 = 1 << 20;

/// Keys of one section, in lower case; keys of a nested block are written `block.key`.
pub(crate) type Section = BTreeMap<String, String>;

/// All sections of both files.
#[derive(Default)]
pub(crate) struct Profiles {
    profiles: BTreeMap<String, Section>,
    sso_sessions: BTreeMap<String, Section>,
    services: BTreeMap<String, Section>,
    /// Name of the profile to use, and whether somebody asked for it.
    name: String,
    is_asked_for: bool,
    home: String,
    files: [String; 2],
}

/// One profile with its name. Prints no values.
#[derive(Clone, Copy)]
pub(crate) struct Profile<'a> {
    pub(crate) name: &'a str,
    keys: Option<&'a Section>,
}

impl<'a> Profile<'a> {
    /// A key that is set to something.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.keys?.get(key)?.as_str();
        (!value.is_empty()).then_some(value)
    }
}

/// Kinds of files, which differ in how they name profiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Configuration,
    Credentials,
}

impl Profiles {
    /// Reads the files the environment names, or those in the home folder. A file that is not there
    /// counts as empty.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(crate) fn read(environment: &dyn Environment) -> Result<Self, BuildError> {
        let home = set(environment, "HOME")
            .or_else(|| set(environment, "USERPROFILE"))
            .unwrap_or_default();
        let file = |variable: &str, name: &str| {
            set(environment, variable).unwrap_or_else(|| format!("{home}/.aws/{name}"))
        };
        let configuration = file("AWS_CONFIG_FILE", "config");
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let asked =
            set(environment, "AWS_PROFILE").or_else(|| set(environment, "AWS_DEFAULT_PROFILE"));
        let mut profiles = Self {
            is_asked_for: asked.is_some(),
            name: asked.unwrap_or_else(|| "default".to_owned()),
            home,
            files: [configuration.clone(), credentials.clone()],
            ..Self::default()
        };
        // Keys of the credentials file win.
        for (path, kind) in [
            (configuration, File::Configuration),
            (credentials, File::Credentials),
        ] {
            let text = text_of(&path)
                .map_err(|error| BuildError(format!("`{path}` cannot be read: {error}")))?;
            profiles.add(&text, kind);
        }
        Ok(profiles)
    }

    /// Chooses a profile by name, in place of the environment.
    pub(crate) fn select(&mut self, name: &str) {
        self.name = name.to_owned();
        self.is_asked_for = true;
    }

    /// The profile to use; an empty one where there are no files.
    ///
    /// # Errors
    /// `AWS_PROFILE` names one that is not there.
    pub(crate) fn selected(&self) -> Result<Profile<'_>, BuildError> {
        let profile = self.profile(&self.name);
        if self.is_asked_for && profile.keys.is_none() {
            return Err(BuildError(format!(
                "failed to get shared config profile, {}: neither {} nor {} has it; correct AWS_PROFILE or add the profile",
                self.name, self.files[0], self.files[1]
            )));
        }
        Ok(profile)
    }

    /// A profile by name.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<Profile<'a>> {
        Some(self.profile(name)).filter(|profile| profile.keys.is_some())
    }

    fn profile<'a>(&'a self, name: &'a str) -> Profile<'a> {
        Profile {
            name,
            keys: self.profiles.get(name),
        }
    }

    /// A key of the profile to use.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.profile(&self.name).get(key)
    }

    /// A key of the section that the profile's `services` names, such as `xray.endpoint_url`.
    pub(crate) fn service_value(&self, key: &str) -> Option<&str> {
        let section = self.services.get(self.value("services")?)?;
        section
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The section `[sso-session NAME]`.
    pub(crate) fn sso_session(&self, name: &str) -> Option<&Section> {
        self.sso_sessions.get(name)
    }

    /// The home folder; empty if it is not known.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    fn add(&mut self, text: &str, file: File) {
        // `[profile default]` wins over `[default]`, wherever it stands.
        let has_long_default =
            sections(text).any(|name| kind_and_name(name) == ("profile", "default"));
        let mut section: Option<&mut Section> = None;
        let mut block = String::new();
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = section_name(trimmed) {
                block.clear();
                section = match (file, kind_and_name(name)) {
                    (File::Credentials, ("", name)) => Some(self.profiles.entry(name.to_owned())),
                    (File::Credentials, _) => None,
                    (_, ("", "default")) if !has_long_default => {
                        Some(self.profiles.entry("default".to_owned()))
                    }
                    (_, ("profile", name)) => Some(self.profiles.entry(name.to_owned())),
                    (_, ("sso-session", name)) => Some(self.sso_sessions.entry(name.to_owned())),
                    (_, ("services", name)) => Some(self.services.entry(name.to_owned())),
                    _ => None,
                }
                .map(|entry| entry.or_default());
                continue;
            }
            let (Some(keys), Some((key, value))) = (section.as_mut(), key_and_value(trimmed))
            else {
                continue;
            };
            let is_nested = line.starts_with([' ', '\t']);
            if is_nested && !block.is_empty() {
                keys.insert(format!("{block}.{key}"), value.to_owned());
                continue;
            }
            block.clear();
            if value.is_empty() {
                block.clone_from(&key);
            }
            keys.insert(key, value.to_owned());
        }
    }
}

fn text_of(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| section_name(line.trim()))
}

/// `[name]`, perhaps with a remark behind it.
fn section_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.split_once(']')?;
    Some(name.trim())
}

/// `profile x` in two; a single word has no kind.
fn kind_and_name(section: &str) -> (&str, &str) {
    match section.split_once([' ', '\t']) {
        None => ("", section),
        Some((kind, name)) => (kind, name.trim().trim_matches('"')),
    }
}

/// `key = value # remark`, the key in lower case.
fn key_and_value(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once('=')?;
    let end = [" #", " ;", "\t#", "\t;"]
        .iter()
        .filter_map(|remark| value.find(remark))
        .min()
        .unwrap_or(value.len());
    let value = value.get(..end).unwrap_or(value);
    Some((key.trim().to_ascii_lowercase(), value.trim()))
}
