//! What a server answers when it cannot ([MS-RMPRS] 2.3.6.9).

use std::borrow::Cow;

use super::Text;
use super::class::Class;
use super::error::BinaryError;
use super::graph::{Graph, Item, unexpected};
use crate::limits::Limits;

/// An exception. Its texts are for the log of whoever asked and for nothing else (note <3>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotingException<'a> {
    /// Name of the exception's class, again, as a member of it.
    pub class_name: Text<'a>,
    /// What went wrong.
    pub message: Text<'a>,
    /// What that was caused by.
    pub inner: Option<Box<RemotingException<'a>>>,
    /// `HelpURL`.
    pub help_url: Text<'a>,
    /// `StackTraceString`. Ours has none: it would tell of the inside of the server.
    pub stack_trace: Text<'a>,
    /// `RemoteStackTraceString`, like the former.
    pub remote_stack_trace: Text<'a>,
    /// `RemoteStackIndex`.
    pub remote_stack_index: i32,
    /// `ExceptionMethod`, like the stack.
    pub exception_method: Text<'a>,
    /// `HResult`.
    pub h_result: i32,
    /// `Source`: the program it comes from.
    pub source: Text<'a>,
}

impl<'a> RemotingException<'a> {
    /// An exception with a text for people and nothing about the inside of the server.
    pub fn new(message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            class_name: Some(Cow::from(Class::RemotingException.name())),
            message: Some(message.into()),
            inner: None,
            help_url: None,
            stack_trace: None,
            remote_stack_trace: None,
            remote_stack_index: 0,
            exception_method: None,
            h_result: COR_E_REMOTING,
            source: None,
        }
    }

    /// The messages, the cause last, as one line for a log.
    pub fn text(&self) -> String {
        let mut all = String::new();
        let mut exception = Some(self);
        while let Some(this) = exception {
            if !all.is_empty() {
                all.push_str(" ---> ");
            }
            all.push_str(this.message.as_deref().unwrap_or_default());
            exception = this.inner.as_deref();
        }
        all
    }

    pub(super) fn read(
        graph: &Graph<'a>,
        item: Item<'a>,
        limits: &Limits,
    ) -> Result<Self, BinaryError> {
        let field = "InnerException";
        let mut chain = Vec::new();
        let mut next = item;
        while let Some(members) = graph.class(field, Class::RemotingException, next)? {
            if chain.len() >= graph.len() {
                let what = Class::RemotingException.name();
                return Err(BinaryError::Cycle { what });
            }
            let (exception, inner) = Self::one(graph, members)?;
            chain.push(exception);
            next = inner;
        }
        let limit = limits.depth;
        if chain.len() > limit {
            return Err(BinaryError::TooDeep { limit });
        }
        let nest = |inner: Option<Self>, exception: Self| {
            let inner = inner.map(Box::new);
            Some(Self { inner, ..exception })
        };
        chain
            .into_iter()
            .rev()
            .fold(None, nest)
            .ok_or_else(|| unexpected("ReturnArguments", "null", "an exception"))
    }

    /// One exception and what its inner one is to be.
    fn one(graph: &Graph<'a>, members: &[Item<'a>]) -> Result<(Self, Item<'a>), BinaryError> {
        let text = |field: &'static str, item| Ok(graph.text(field, item)?.map(Cow::from));
        let &[
            class_name,
            message,
            inner,
            help_url,
            stack_trace,
            remote_stack_trace,
            Item::Int32(remote_stack_index),
            exception_method,
            Item::Int32(h_result),
            source,
        ] = members
        else {
            return Err(unexpected(
                "RemotingException",
                "something else",
                "its members",
            ));
        };
        let exception = Self {
            class_name: text("ClassName", class_name)?,
            message: text("Message", message)?,
            inner: None,
            help_url: text("HelpURL", help_url)?,
            stack_trace: text("StackTraceString", stack_trace)?,
            remote_stack_trace: text("RemoteStackTraceString", remote_stack_trace)?,
            remote_stack_index,
            exception_method: text("ExceptionMethod", exception_method)?,
            h_result,
            source: text("Source", source)?,
        };
        Ok((exception, inner))
    }
}

/// The number .NET gives to exceptions of remoting, 0x8013150B.
const COR_E_REMOTING: i32 = i32::from_be_bytes([0x80, 0x13, 0x15, 0x0b]);
