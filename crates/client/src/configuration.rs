//! Everything that is set, and who set it: by the same rules by which it counts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::level::ClientLevel;
use crate::machine_settings::{Fixable, Place};
use crate::precedence::SetBy;
use crate::url::ServerUrl;

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key, as it stands in files; those in tables with a dot.
    pub key: String,
    /// Its value, without passwords; null where nothing is set.
    pub value: Value,
    /// Who set it.
    pub by: SetBy,
    /// Whether people cannot set it.
    pub is_final: bool,
}

impl Client {
    /// Every setting in force: those of the machine, each as far as nobody said otherwise who may,
    /// and the person's own. In the order of their names.
    pub fn configuration(&self) -> Result<Vec<Setting>, Error> {
        let settings = self.settings()?;
        let (discovery, machine) = (&self.discovery, &self.discovery.machine);
        let mut all = Vec::new();
        flatten(&mut all, "", of(machine));
        let of_machine = |key: &str, value: &Value| match place_in(machine.places(), key) {
            Some(place) => SetBy::Machine(Some(place.clone())),
            None if is_unset(value) => SetBy::Default,
            None => SetBy::Machine(None),
        };
        let mut set: Vec<Setting> = all
            .into_iter()
            .map(|(key, value)| Setting {
                by: of_machine(&key, &value),
                is_final: machine.hierarchy_file().is_some() && key == "hierarchy",
                key,
                value,
            })
            .collect();

        let located = discovery.server(&settings)?;
        let overrides = located
            .as_ref()
            .map(|(server, _)| discovery.overrides(&settings, server));
        put(&mut set, "server", located);
        put(&mut set, "client_level", {
            let level = discovery.level(&settings)?;
            let (level, by) = level.unwrap_or((ClientLevel::default(), SetBy::Default));
            Some((level.name(), by))
        });
        put(&mut set, "proxy", discovery.proxy()?);
        put(&mut set, "no_proxy", discovery.no_proxy()?);
        put(&mut set, "ca_file", discovery.ca_file()?);
        for (key, value) in [
            ("fips", machine.fips()),
            ("store_per_computer", machine.store_per_computer()),
        ] {
            let place = machine.place_of(key).cloned();
            let by = place.map_or(SetBy::Default, |place| SetBy::Machine(Some(place)));
            put(&mut set, key, Some((value, by)));
        }

        // Tables are made of both words, key by key.
        for (table, merged) in [
            (
                "service_location",
                overrides.map(|overrides| of(&overrides)),
            ),
            ("decommission", Some(of(&discovery.redirects(&settings)))),
        ] {
            set.retain(|setting| !is_in(table, &setting.key));
            let mut rows = Vec::new();
            flatten(&mut rows, table, merged.unwrap_or_default());
            for (key, value) in rows.into_iter().filter(|(_, value)| !is_unset(value)) {
                let of_person = place_in(&settings.places, &key);
                let is_persons = !is_fixed(machine, table) && of_person.is_some();
                let by = match of_person.filter(|_| is_persons) {
                    Some(place) => SetBy::Person(place.clone()),
                    None => of_machine(&key, &value),
                };
                set.push(Setting {
                    key,
                    value,
                    by,
                    is_final: false,
                });
            }
        }
        let own = |key: &str, value: Option<String>| {
            let by = match &value {
                Some(_) => SetBy::Person(settings.place_of(key)),
                None => SetBy::Default,
            };
            Setting {
                key: key.to_owned(),
                value: of(&value),
                by,
                is_final: false,
            }
        };
        set.push(own("user", settings.user.clone()));
        for setting in &mut set {
            let table = setting.key.split('.').next().unwrap_or_default();
            let key = if table == "no_proxy" { "proxy" } else { table };
            setting.is_final |= is_fixed(machine, key) && matches!(setting.by, SetBy::Machine(_));
        }
        set.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(set)
    }
}

fn is_fixed(machine: &crate::MachineSettings, table: &str) -> bool {
    serde_json::from_value::<Fixable>(table.into()).is_ok_and(|key| machine.is_final(key))
}

/// Where a value stands. Servers that are keys may be written in several ways.
fn place_in<'p>(places: &'p BTreeMap<String, Place>, key: &str) -> Option<&'p Place> {
    let server = |key: &str| key.split_once('.')?.1.parse::<ServerUrl>().ok();
    let is_same = |other: &str| {
        let is_both = |table| is_in(table, key) && is_in(table, other);
        is_both("decommission") && server(other) == server(key)
    };
    let mut others = places.iter();
    places.get(key).or_else(|| {
        others
            .find(|(other, _)| is_same(other))
            .map(|(_, place)| place)
    })
}

fn is_in(table: &str, key: &str) -> bool {
    let rest = key.strip_prefix(table);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Puts what counts in the place of what the machine's settings say.
fn put<T: Serialize>(set: &mut [Setting], key: &str, found: Option<(T, SetBy)>) {
    if let (Some(setting), Some((value, by))) =
        (set.iter_mut().find(|setting| setting.key == key), found)
    {
        setting.value = of(&value);
        setting.by = by;
    }
}

fn of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The values of tables and of tables in them, each with its whole key.
fn flatten(rows: &mut Vec<(String, Value)>, before: &str, value: Value) {
    let Value::Object(fields) = value else {
        rows.push((before.to_owned(), value));
        return;
    };
    for (name, value) in fields {
        let key = match before {
            "" => name,
            before => format!("{before}.{name}"),
        };
        flatten(rows, &key, value);
    }
}
