//! `rmsd person`: the built-in people list. A server that runs takes changes over at SIGHUP.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openrms_directory::{Address, Member, NewPerson, PeopleError};
use serde_json::json;

use super::{Failure, Output, Place, secrets};
use crate::clock;
use crate::people;

#[derive(Debug, Subcommand)]
pub(super) enum Person {
    /// Add a person. The password is read from a file or standard input.
    Add(Add),
    /// List the people and groups.
    List(List),
    /// Remove a person, also from all groups.
    Remove(Who),
    /// Give a person another password.
    Passwd(Passwd),
    /// Keep a person from signing in.
    Disable(Who),
    /// Let a person sign in again.
    Enable(Who),
    /// Groups of people.
    #[command(subcommand)]
    Group(Group),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Account name.
    name: String,
    /// Mail address; without one nobody is certified.
    #[arg(long)]
    mail: String,
    /// Further mail addresses.
    #[arg(long, value_name = "MAIL")]
    alias: Vec<String>,
    /// What people call them; the account name by default.
    #[arg(long)]
    display_name: Option<String>,
    /// File whose first line is the password; standard input by default.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Who {
    /// Account name or mail address.
    who: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Passwd {
    /// Account name or mail address.
    who: String,
    /// File whose first line is the password; standard input by default.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Add an empty group.
    Add(GroupArgument),
    /// Remove a group.
    Remove(GroupArgument),
    /// Put a person or another group into a group.
    AddMember(MemberArguments),
    /// Take a member out of a group.
    RemoveMember(MemberArguments),
}

#[derive(Debug, Args)]
pub(super) struct GroupArgument {
    /// Mail address of the group.
    group: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct MemberArguments {
    /// Mail address of the group.
    group: String,
    /// Account name, or mail address of a person or group.
    member: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Person, output: &Output) -> Result<(), Failure> {
    match command {
        Person::Add(new) => add(new, output),
        Person::List(list) => show(list, output),
        Person::Remove(who) => {
            let member = member(&who.who)?;
            done(&who.place, output, &who.who, |list| list.remove(&member))
        }
        Person::Passwd(passwd) => {
            let member = member(&passwd.who)?;
            let file = passwd.password_file.as_deref();
            let password = secrets::password(file, "New password", output)?;
            let change =
                |list: &mut openrms_directory::People| list.set_password(&member, &password);
            done(&passwd.place, output, &passwd.who, change)
        }
        Person::Disable(who) => switch(who, output, true),
        Person::Enable(who) => switch(who, output, false),
        Person::Group(group) => change_group(group, output),
    }
}

fn add(new: &Add, output: &Output) -> Result<(), Failure> {
    let account = new
        .name
        .parse()
        .map_err(|error| Failure::usage(format!("{:?}: {error}", new.name)))?;
    let person = NewPerson {
        display_name: new.display_name.clone().unwrap_or_else(|| new.name.clone()),
        mail: Some(address(&new.mail)?),
        addresses: new
            .alias
            .iter()
            .map(|text| address(text))
            .collect::<Result<_, _>>()?,
        created: Some(clock::now().unix()),
        account,
    };
    let config = new.place.load()?;
    let password = secrets::password(new.password_file.as_deref(), "Password", output)?;
    let member = Member::Account(person.account.clone());
    let sid = people::change(&config, |list| {
        let sid = list.add_person(person)?;
        list.set_password(&member, &password)?;
        Ok(sid)
    })?;
    let text = format!("{} <{}> is added.", new.name, new.mail);
    output.answer(
        &json!({ "account": new.name, "mail": new.mail, "sid": sid.as_str() }),
        text,
    );
    Ok(())
}

fn show(list: &List, output: &Output) -> Result<(), Failure> {
    let list = people::read(&list.place.load()?)?;
    let mut lines = Vec::new();
    let mut persons = Vec::new();
    for person in list.people() {
        let mail = person.mail.as_ref().map(ToString::to_string);
        let state = if person.disabled { "  (disabled)" } else { "" };
        let shown = mail.as_deref().unwrap_or("no mail address");
        lines.push(format!(
            "{}  {shown}  {}{state}",
            person.account, person.display_name
        ));
        persons.push(json!({
            "account": person.account.as_str(),
            "mail": mail,
            "display_name": person.display_name,
            "sid": person.sid.as_str(),
            "disabled": person.disabled,
            "has_password": person.password.is_some(),
        }));
    }
    let mut groups = Vec::new();
    for group in list.groups() {
        let members: Vec<_> = group.members.iter().map(ToString::to_string).collect();
        lines.push(format!("group {}: {}", group.address, members.join(", ")));
        groups.push(json!({ "address": group.address.as_str(), "members": members }));
    }
    output.answer(
        &json!({ "people": persons, "groups": groups }),
        lines.join("\n"),
    );
    Ok(())
}

fn switch(who: &Who, output: &Output, disabled: bool) -> Result<(), Failure> {
    let member = member(&who.who)?;
    done(&who.place, output, &who.who, |list| {
        list.set_disabled(&member, disabled)
    })
}

fn change_group(group: &Group, output: &Output) -> Result<(), Failure> {
    match group {
        Group::Add(new) => {
            let group = address(&new.group)?;
            done(&new.place, output, &new.group, |list| {
                list.add_group(group).map(|_| ())
            })
        }
        Group::Remove(old) => {
            let group = Member::Address(address(&old.group)?);
            done(&old.place, output, &old.group, |list| list.remove(&group))
        }
        Group::AddMember(names) => {
            let (group, member) = (address(&names.group)?, member(&names.member)?);
            done(&names.place, output, &names.group, |list| {
                list.add_member(&group, member)
            })
        }
        Group::RemoveMember(names) => {
            let (group, member) = (address(&names.group)?, member(&names.member)?);
            done(&names.place, output, &names.group, |list| {
                list.remove_member(&group, &member)
            })
        }
    }
}

fn done(
    place: &Place,
    output: &Output,
    changed: &str,
    change: impl FnOnce(&mut openrms_directory::People) -> Result<(), PeopleError> + Send,
) -> Result<(), Failure> {
    people::change(&place.load()?, change)?;
    output.answer(
        &json!({ "changed": changed }),
        format_args!("{changed} is changed."),
    );
    Ok(())
}

fn member(text: &str) -> Result<Member, Failure> {
    let reason = || {
        Failure::usage(format!(
            "{text:?} is neither an account name nor an address"
        ))
    };
    Member::parse(text).ok_or_else(reason)
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("{text:?}: {error}")))
}
