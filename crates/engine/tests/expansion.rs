//! Groups across forests: who is in them by way of others, and that circles end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use openrms_directory::{BuiltIn, DirectoryError, ForeignForests, ForeignQuestion, ForestName};
use openrms_engine::{Context, expansion};
use openrms_protocol::FaultCode;
use openrms_protocol::group_expansion::{IsPrincipalMemberOf, MAX_CROSS_FOREST_CALLS};

use support::World;

/// Forests that ask each other without a network between.
struct Web<'w> {
    world: &'w World,
    forests: HashMap<ForestName, BuiltIn>,
    asked: AtomicU32,
    max_calls: u32,
}

impl<'w> Web<'w> {
    fn new(world: &'w World, forests: &[&str]) -> Self {
        let read = |text: &&str| {
            let directory = BuiltIn::from_toml(text).unwrap();
            let name = openrms_directory::Directory::home_forest(&directory).clone();
            (name, directory)
        };
        Self {
            world,
            forests: forests.iter().map(read).collect(),
            asked: AtomicU32::new(0),
            max_calls: MAX_CROSS_FOREST_CALLS,
        }
    }

    async fn ask(
        &self,
        forest: &str,
        question: &IsPrincipalMemberOf,
    ) -> Result<bool, openrms_engine::Refusal> {
        let context = Context {
            directory: &self.forests[&forest.parse::<ForestName>().unwrap()],
            forests: self,
            ..self.world.context()
        };
        let answer = expansion::is_principal_member_of(&context, question).await?;
        Ok(answer.is_member)
    }
}

#[async_trait]
impl ForeignForests for Web<'_> {
    async fn is_member(&self, question: ForeignQuestion<'_>) -> Result<bool, DirectoryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let groups = question.groups.iter().map(ToString::to_string).collect();
        let asked = IsPrincipalMemberOf {
            cross_forest_calls_so_far: question.calls,
            ..IsPrincipalMemberOf::new(question.who.to_string(), groups)
        };
        self.ask(question.forest.as_str(), &asked)
            .await
            .map_err(|refusal| DirectoryError::Unreachable {
                directory: question.forest.to_string(),
                reason: refusal.reason,
            })
    }

    fn max_calls(&self) -> u32 {
        self.max_calls
    }
}

fn question(who: &str, group: &str) -> IsPrincipalMemberOf {
    IsPrincipalMemberOf::new(who, vec![group.to_owned()])
}

#[tokio::test]
async fn somebody_is_in_a_group_by_way_of_two_other_forests() {
    let world = World::new().await;
    let web = Web::new(&world, &[NORTH, SOUTH, EAST]);
    let asked = question("mail=eve@east.example", "mail=all@north.example");
    assert!(web.ask("north.example", &asked).await.unwrap());
    let asked = question("mallory@east.example", "all@north.example");
    assert!(!web.ask("north.example", &asked).await.unwrap());
}

#[tokio::test]
async fn groups_in_a_circle_over_forests_end() {
    let world = World::new().await;
    let web = Web::new(&world, &[NORTH, SOUTH, EAST]);
    let asked = question("nobody@north.example", "loop@north.example");
    assert!(!web.ask("north.example", &asked).await.unwrap());
    let asked = web.asked.load(Ordering::Relaxed);
    assert!((1..MAX_CROSS_FOREST_CALLS).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_question_that_went_through_too_many_servers_is_refused() {
    let world = World::new().await;
    let mut web = Web::new(&world, &[NORTH, SOUTH, EAST]);
    let mut asked = question("eve@east.example", "all@north.example");
    asked.cross_forest_calls_so_far = MAX_CROSS_FOREST_CALLS;
    let refusal = web.ask("north.example", &asked).await.unwrap_err();
    assert_eq!(refusal.code, FaultCode::ArgumentOutOfRange);
    // One forest, which neither asks nor answers.
    web.max_calls = 0;
    let refusal = web
        .ask(
            "north.example",
            &question("a@north.example", "g@north.example"),
        )
        .await
        .unwrap_err();
    assert_eq!(refusal.code, FaultCode::ArgumentOutOfRange);
    // Answers, but asks nobody in turn.
    web.max_calls = 2;
    let asked = question("eve@east.example", "all@north.example");
    assert!(!web.ask("north.example", &asked).await.unwrap());
}

#[tokio::test]
async fn names_that_are_none_are_no_members() {
    let world = World::new().await;
    let web = Web::new(&world, &[NORTH]);
    for (who, group) in [
        ("", "all@north.example"),
        ("mail=", "all@north.example"),
        ("id=S-1-5-21-9-9-9-9", "all@north.example"),
        ("nora@north.example", "mail=)(mail=*"),
        ("nora@north.example", "nora@north.example"),
    ] {
        let answer = web.ask("north.example", &question(who, group)).await;
        assert!(!answer.unwrap(), "{who:?} in {group:?}");
    }
    let asked = question("nora@north.example", "staff@north.example");
    assert!(web.ask("north.example", &asked).await.unwrap());
}

const NORTH: &str = include_str!("forests/north.toml");
const SOUTH: &str = include_str!("forests/south.toml");
const EAST: &str = include_str!("forests/east.toml");
