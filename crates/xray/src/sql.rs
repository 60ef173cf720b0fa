//! The `sql` block of relational databases.

use crate::json::{DocumentWriter, member};
use crate::keys::{Key, KeySet, Scan};

/// What a database span says, whichever names it uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql<'a> {
    system: &'a str,
    name: &'a str,
    statement: &'a str,
}

/// Attributes that the block takes away from metadata.
const OLD_NAMES: KeySet = KeySet::of(&[
    Key::DbConnectionString,
    Key::DbSystem,
    Key::DbName,
    Key::DbStatement,
    Key::DbUser,
]);
/// The same of the current conventions; `db.namespace` and `db.query.text` replaced two of them.
const CURRENT_NAMES: KeySet = KeySet::of(&[Key::DbSystemName, Key::DbNamespace, Key::DbQueryText]);

/// Systems with a block (XR-38).
fn is_sql(system: &str) -> bool {
    matches!(
        system,
        "db2"
            | "derby"
            | "hive"
            | "mariadb"
            | "mssql"
            | "mysql"
            | "oracle"
            | "postgresql"
            | "sqlite"
            | "teradata"
            | "other_sql"
    )
}

/// The older name of a system of the current conventions, which is what X-Ray knows.
fn older_system_name(system: &str) -> &str {
    match system {
        "microsoft.sql_server" => "mssql",
        "oracle.db" => "oracle",
        "ibm.db2" => "db2",
        same => same,
    }
}

/// The block of a span, and what it takes. `current_names` also reads `db.system.name` and
/// `db.namespace` where the older names are absent.
pub(crate) fn find<'a>(scan: &Scan<'a>, current_names: bool) -> Option<(Sql<'a>, KeySet)> {
    let mut tells = KeySet::of(&[Key::DbSystem]);
    if current_names {
        tells = tells.and(KeySet::of(&[Key::DbSystemName]));
    }
    if !scan.present().meets(tells) {
        return None;
    }
    let current = |key| scan.text(key).filter(|_| current_names);
    let system = match scan.text(Key::DbSystem) {
        Some(system) => system,
        None => older_system_name(current(Key::DbSystemName)?),
    };
    if !is_sql(system) {
        return None;
    }
    let name = scan.text(Key::DbName);
    // Without `db.statement` the reference leaves this member out. Filling it changes nothing else:
    // `db.query.text` stays metadata as there.
    let statement = scan.filled(Key::DbStatement);
    let sql = Sql {
        system,
        name: name.or_else(|| current(Key::DbNamespace)).unwrap_or(""),
        statement: statement
            .or_else(|| scan.text(Key::DbQueryText))
            .unwrap_or(""),
    };
    let taken = if current_names {
        OLD_NAMES.and(CURRENT_NAMES)
    } else {
        OLD_NAMES
    };
    Some((sql, taken))
}

/// Writes the block.
pub(crate) fn write(w: &mut DocumentWriter<'_>, scan: &Scan<'_>, span_name: &str, sql: Sql<'_>) {
    w.raw(member!("sql"));
    w.open_object();
    w.raw(member!("connection_string"));
    let connection = scan.filled(Key::DbConnectionString).unwrap_or("localhost");
    w.text_parts(&[connection, "/", sql.name]);
    w.text_member(member!("url"), span_name);
    w.text_member(member!("sanitized_query"), sql.statement);
    w.text_member(member!("database_type"), sql.system);
    w.text_member(member!("user"), scan.filled(Key::DbUser).unwrap_or(""));
    w.close_object();
}
