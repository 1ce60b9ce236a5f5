//! Settings of a machine in the registry of Windows. Values have the names of the keys in `client.toml`
//! and tables are subkeys; a text is `REG_SZ`, a list `REG_MULTI_SZ`, and yes or no `REG_DWORD`.

use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use windows_registry::{Key, LOCAL_MACHINE, Type};

use super::{MachineSettings, MachineSettingsError, Place};

impl MachineSettings {
    /// What the client before was told (`MSDRM\ServiceLocation`), then the files of a folder, then the
    /// machine's key and its policy's. What comes later wins.
    pub fn read_with_registry(folder: &Path) -> Result<Self, MachineSettingsError> {
        Self::default()
            .with_key(SERVICE_LOCATION, service_location)?
            .with_folder(folder)?
            .with_key(MACHINE, table)?
            .with_key(POLICY, table)
    }

    fn with_key(
        self,
        name: &str,
        read: impl Fn(&Key) -> Result<Table, Fault>,
    ) -> Result<Self, MachineSettingsError> {
        let place = format!(r"HKEY_LOCAL_MACHINE\{name}");
        let path = PathBuf::from(&place);
        let read = match LOCAL_MACHINE.open(name) {
            Ok(key) => read(&key),
            Err(error) => match Fault::from(error) {
                Fault::System(error) if is_missing(&error) => return Ok(self),
                fault => Err(fault),
            },
        };
        let table = read.map_err(|fault| match fault {
            Fault::System(error) => MachineSettingsError::Io {
                path: path.clone(),
                source: error,
            },
            Fault::Value(reason) => MachineSettingsError::Malformed {
                path: path.clone(),
                reason,
            },
        })?;
        let mut settings = self.with_text(&path, table.to_string())?;
        // Lines are those of a text that nobody wrote.
        for at in settings.places.values_mut() {
            if at.name() == place {
                *at = Place::of(place.as_str());
            }
        }
        Ok(settings)
    }
}

/// What is wrong with a key.
enum Fault {
    System(io::Error),
    Value(String),
}

/// Of the registry's own error, whose type has no name in its crate.
impl<E: Into<io::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::System(error.into())
    }
}

/// The values of a key, and its subkeys as tables.
fn table(key: &Key) -> Result<Table, Fault> {
    let mut table = Table::new();
    for (name, _) in key.values()? {
        table.insert(name.clone(), value(key, &name)?);
    }
    for name in key.keys()? {
        let mut inner = Table::new();
        let subkey = key.open(&name)?;
        for (name, _) in subkey.values()? {
            inner.insert(name.clone(), value(&subkey, &name)?);
        }
        table.insert(name, Value::Table(inner));
    }
    Ok(table)
}

fn value(key: &Key, name: &str) -> Result<Value, Fault> {
    match key.get_type(name)? {
        Type::String | Type::ExpandString => Ok(Value::String(key.get_string(name)?)),
        Type::MultiString => {
            // Two zeros end a list: an empty text is none of its elements.
            let texts = key.get_multi_string(name)?.into_iter();
            let texts = texts.filter(|text| !text.is_empty()).map(Value::String);
            Ok(Value::Array(texts.collect()))
        }
        Type::U32 => match key.get_u32(name)? {
            0 => Ok(Value::Boolean(false)),
            1 => Ok(Value::Boolean(true)),
            other => Err(Fault::Value(format!("{name}: {other} is neither 0 nor 1"))),
        },
        _ => Err(Fault::Value(format!(
            "{name}: of a type that no setting has"
        ))),
    }
}

/// Subkeys of the client before, whose text is their default value.
fn service_location(key: &Key) -> Result<Table, Fault> {
    let mut locations = Table::new();
    for (subkey, name) in LOCATIONS {
        let text = match key.open(subkey).and_then(|subkey| subkey.get_string("")) {
            Ok(text) => text,
            Err(error) => match Fault::from(error) {
                Fault::System(error) if is_missing(&error) => continue,
                fault => return Err(fault),
            },
        };
        if !text.is_empty() {
            locations.insert((*name).to_owned(), Value::String(text));
        }
    }
    let mut table = Table::new();
    table.insert("service_location".to_owned(), Value::Table(locations));
    Ok(table)
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(FILE_NOT_FOUND)
}

const MACHINE: &str = r"SOFTWARE\OpenRMS";
/// Group Policy writes below `Policies` only, and takes back what it wrote when it ends.
const POLICY: &str = r"SOFTWARE\Policies\OpenRMS";
const SERVICE_LOCATION: &str = r"SOFTWARE\Microsoft\MSDRM\ServiceLocation";
const LOCATIONS: [(&str, &str); 3] = [
    ("Activation", "activation"),
    ("EnterprisePublishing", "enterprise_publishing"),
    ("CloudPublishing", "cloud_publishing"),
];
/// `HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)`, as the registry's crate hands it on.
const FILE_NOT_FOUND: i32 = 0x8007_0002_u32.cast_signed();
