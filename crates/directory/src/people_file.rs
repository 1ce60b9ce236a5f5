//! The people list as a TOML file.
//!
//! ```toml
//! forest = "corp.example"
//! domain = "CORP"
//! domain_sid = "S-1-5-21-1-2-3"
//! next_rid = 1103
//!
//! [[person]]
//! account = "alice"
//! sid = "S-1-5-21-1-2-3-1101"
//! display_name = "Alice"
//! mail = "alice@corp.example"
//!
//! [[group]]
//! address = "staff@corp.example"
//! sid = "S-1-5-21-1-2-3-1102"
//! members = ["alice"]
//!
//! [[contact]]
//! address = "sales@partner.example"
//! forest = "partner.example"
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    Address, Contact, ForestName, Group, Member, PasswordHash, People, PeopleError, Person, Sid,
};

impl People {
    /// Reads a people list and checks it as a whole.
    pub fn from_toml(text: &str) -> Result<Self, PeopleError> {
        if text.len() > MAX_FILE {
            return Err(PeopleError::Limit { what: "bytes" });
        }
        let file: File = toml::from_str(text).map_err(|error| PeopleError::Syntax {
            message: error.to_string(),
        })?;
        Self {
            forest: forest(&file.forest)?,
            domain: file.domain,
            domain_sid: sid("the domain", &file.domain_sid)?,
            next_rid: file.next_rid,
            persons: file
                .person
                .into_iter()
                .map(person)
                .collect::<Result<_, _>>()?,
            groups: file.group.iter().map(group).collect::<Result<_, _>>()?,
            contacts: file.contact.iter().map(contact).collect::<Result<_, _>>()?,
        }
        .checked()
    }

    /// The list as text that [`People::from_toml`] reads. Holds password hashes: to be written
    /// to a file that only the server can read.
    pub fn to_toml(&self) -> Result<String, PeopleError> {
        let file = File {
            forest: self.forest.to_string(),
            domain: self.domain.clone(),
            domain_sid: self.domain_sid.to_string(),
            next_rid: self.next_rid,
            person: self.persons.iter().map(FilePerson::from).collect(),
            group: self.groups.iter().map(FileGroup::from).collect(),
            contact: self.contacts.iter().map(FileContact::from).collect(),
        };
        toml::to_string(&file).map_err(|error| PeopleError::Syntax {
            message: error.to_string(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    forest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    domain_sid: String,
    #[serde(default)]
    next_rid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    person: Vec<FilePerson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    group: Vec<FileGroup>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    contact: Vec<FileContact>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePerson {
    account: String,
    sid: String,
    #[serde(default)]
    display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<i64>,
}

impl From<&Person> for FilePerson {
    fn from(person: &Person) -> Self {
        Self {
            account: person.account.to_string(),
            sid: person.sid.to_string(),
            display_name: person.display_name.clone(),
            mail: person.mail.as_ref().map(ToString::to_string),
            addresses: person.addresses.iter().map(ToString::to_string).collect(),
            disabled: person.disabled,
            password: person
                .password
                .as_ref()
                .map(|hash| hash.as_str().to_owned()),
            created: person.created,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    address: String,
    sid: String,
    #[serde(default)]
    members: Vec<String>,
}

impl From<&Group> for FileGroup {
    fn from(group: &Group) -> Self {
        Self {
            address: group.address.to_string(),
            sid: group.sid.to_string(),
            members: group.members.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContact {
    address: String,
    forest: String,
    /// A person of the other forest instead of a group.
    #[serde(default, skip_serializing_if = "is_false")]
    person: bool,
}

impl From<&Contact> for FileContact {
    fn from(contact: &Contact) -> Self {
        Self {
            address: contact.address.to_string(),
            forest: contact.forest.to_string(),
            person: !contact.group,
        }
    }
}

fn person(file: FilePerson) -> Result<Person, PeopleError> {
    let of = file.account;
    Ok(Person {
        account: of
            .parse()
            .map_err(|_| PeopleError::BadName { name: of.clone() })?,
        sid: sid(&of, &file.sid)?,
        display_name: file.display_name,
        mail: file.mail.map(|text| address(&of, &text)).transpose()?,
        addresses: file
            .addresses
            .iter()
            .map(|text| address(&of, text))
            .collect::<Result<_, _>>()?,
        disabled: file.disabled,
        password: file.password.map(PasswordHash::new).transpose()?,
        created: file.created,
    })
}

fn group(file: &FileGroup) -> Result<Group, PeopleError> {
    let address = address("a group", &file.address)?;
    let member = |text: &String| {
        Member::parse(text).ok_or_else(|| PeopleError::UnknownMember {
            group: address.clone(),
            member: text.clone(),
        })
    };
    Ok(Group {
        sid: sid(&file.address, &file.sid)?,
        members: file.members.iter().map(member).collect::<Result<_, _>>()?,
        address,
    })
}

fn contact(file: &FileContact) -> Result<Contact, PeopleError> {
    Ok(Contact {
        address: address("a contact", &file.address)?,
        forest: forest(&file.forest)?,
        group: !file.person,
    })
}

fn forest(text: &str) -> Result<ForestName, PeopleError> {
    text.parse().map_err(|_| PeopleError::BadForest {
        name: text.to_owned(),
    })
}

fn sid(of: &str, text: &str) -> Result<Sid, PeopleError> {
    text.parse().map_err(|reason| PeopleError::BadSid {
        of: of.to_owned(),
        text: text.to_owned(),
        reason,
    })
}

fn address(of: &str, text: &str) -> Result<Address, PeopleError> {
    text.parse().map_err(|reason| PeopleError::BadAddress {
        of: of.to_owned(),
        text: text.to_owned(),
        reason,
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

const MAX_FILE: usize = 64 << 20;
