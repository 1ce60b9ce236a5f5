//! The numbers of the format ([MS-RMPRS] 2.3.2). Others exist in it and are refused here.

/// Declares a one-byte enumeration once: variant and number.
macro_rules! numbers {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        $vis enum $name { $($(#[$vdoc])* $variant = $number,)* }

        impl $name {
            pub(super) const fn from_code(code: u8) -> Option<Self> {
                match code { $($number => Some(Self::$variant),)* _ => None }
            }

            pub(super) const fn code(self) -> u8 {
                self as u8
            }
        }
    };
}

numbers! {
    /// The type of a record (2.3.2.1).
    pub RecordType {
        /// Begins a message.
        SerializedStreamHeader = 0x00,
        /// An object of a class described before.
        ClassWithId = 0x01,
        /// An object of a class without library.
        SystemClassWithMembersAndTypes = 0x04,
        /// An object of a class of a library.
        ClassWithMembersAndTypes = 0x05,
        /// A text.
        BinaryObjectString = 0x06,
        /// A number or truth value.
        MemberPrimitiveTyped = 0x08,
        /// An object that stands elsewhere.
        MemberReference = 0x09,
        /// Nothing.
        ObjectNull = 0x0a,
        /// Ends a message.
        MessageEnd = 0x0b,
        /// A library.
        BinaryLibrary = 0x0c,
        /// Nothing, up to 255 times.
        ObjectNullMultiple256 = 0x0d,
        /// Nothing, many times.
        ObjectNullMultiple = 0x0e,
        /// An array of anything.
        ArraySingleObject = 0x10,
        /// An array of texts.
        ArraySingleString = 0x11,
        /// The question.
        IsPrincipalMemberOfRequest = 0x15,
        /// The answer.
        IsPrincipalMemberOfResponse = 0x16,
    }
}

/// The kind of a member of a class (2.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BinaryType {
    Primitive = 0x00,
    String = 0x01,
    Object = 0x02,
    SystemClass = 0x03,
    Class = 0x04,
    ObjectArray = 0x05,
}

impl BinaryType {
    pub(super) const fn code(self) -> u8 {
        self as u8
    }
}

numbers! {
    /// The type of a primitive value (2.3.2.3) where a text or null cannot be.
    pub(super) PrimitiveType {
        Boolean = 0x01,
        Byte = 0x02,
        Int32 = 0x08,
        Single = 0x0b,
    }
}

/// `PrimitiveTypeEnum` of a text (2.3.3.3).
pub(super) const STRING_CODE: u8 = 0x12;
/// `MessageEnum` of a request: `ArgsIsArray` and `NoContext` (2.3.1.2).
pub(super) const REQUEST_FLAGS: i32 = 0x14;
/// `MessageEnum` of an answer: `ArgsInArray`, `ContextInArray`, `ReturnValueInline` (2.3.1.3).
pub(super) const ANSWER_FLAGS: i32 = 0x848;
/// `MessageEnum` of an exception: `NoArgs`, `ContextInArray`, `NoReturnValue`,
/// `ExceptionInArray` (2.3.1.3).
pub(super) const EXCEPTION_FLAGS: i32 = 0x2241;
