//! Private keys in a security module that is spoken to by PKCS #11 (OASIS PKCS #11 2.40 and later).
//! Keys are made in the module and never leave it: a handle names the token and the key, nothing
//! more.

mod handle;
mod key;
mod token;

use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::types::Ulong;

use crate::mode::Mode;
use crate::provider::{KeyHandle, KeyProvider, ProviderError};
use crate::random;
use crate::rsa::{PrivateKey, PublicKey, SoftwareKey};
use crate::secret::Secret;

use handle::Handle;
use key::ModuleKey;
use token::Token;

/// Which token of which module, and what opens it.
#[derive(Debug, Clone)]
pub struct Pkcs11Settings {
    /// The module's library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The user's PIN, in UTF-8.
    pub pin: Secret,
}

/// The keys of one token.
#[derive(Debug)]
pub struct Pkcs11Provider {
    token: Arc<Token>,
}

impl Pkcs11Provider {
    /// Loads the module and logs in to the token.
    ///
    /// A module is loaded once in a process and stays; several providers may use it.
    pub fn open(settings: &Pkcs11Settings) -> Result<Self, ProviderError> {
        Ok(Self {
            token: Arc::new(Token::open(settings)?),
        })
    }

    fn key(&self, handle: &Handle) -> Result<Arc<dyn PrivateKey>, ProviderError> {
        Ok(Arc::new(ModuleKey::find(&self.token, handle)?))
    }
}

impl KeyProvider for Pkcs11Provider {
    fn name(&self) -> &'static str {
        "pkcs11"
    }

    fn generate(&self, mode: Mode) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        let handle = self.new_handle()?;
        let bits = u64::try_from(mode.rsa_bits()).unwrap_or_default();
        let mut public = public_template(&handle);
        public.extend([
            Attribute::ModulusBits(Ulong::from(bits)),
            Attribute::PublicExponent(EXPONENT.to_vec()),
        ]);
        let private = private_template(&handle);
        self.token.with(|session| {
            let mechanism = Mechanism::RsaPkcsKeyPairGen;
            session.generate_key_pair(&mechanism, &public, &private)
        })?;
        Ok((KeyHandle::new(handle.to_bytes()), self.key(&handle)?))
    }

    fn load(&self, handle: &KeyHandle) -> Result<Arc<dyn PrivateKey>, ProviderError> {
        let handle = Handle::read(handle.as_bytes()).ok_or(ProviderError::UnknownHandle)?;
        if handle.serial != self.token.serial() {
            return Err(ProviderError::UnknownHandle);
        }
        self.key(&handle)
    }

    /// Modules may refuse keys that were made elsewhere. One that is taken over was in this
    /// process's memory, and wherever it came from it may still be.
    fn import(&self, key: SoftwareKey) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        let handle = self.new_handle()?;
        let numbers = key.parts();
        let exponent = numbers.exponent.to_be_bytes();
        let exponent = exponent.iter().copied().skip_while(|byte| *byte == 0);
        let shared = [
            Attribute::Modulus(numbers.modulus.clone()),
            Attribute::PublicExponent(exponent.collect()),
            Attribute::KeyType(KeyType::RSA),
        ];
        let mut public = public_template(&handle);
        public.push(Attribute::Class(ObjectClass::PUBLIC_KEY));
        public.extend(shared.clone());
        let mut private = private_template(&handle);
        private.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
        private.extend(shared);
        private.extend([
            Attribute::PrivateExponent(numbers.d.to_vec()),
            Attribute::Prime1(numbers.p.to_vec()),
            Attribute::Prime2(numbers.q.to_vec()),
            Attribute::Exponent1(numbers.dp.to_vec()),
            Attribute::Exponent2(numbers.dq.to_vec()),
            Attribute::Coefficient(numbers.q_inverse.to_vec()),
        ]);
        let made = self.token.with(|session| {
            session.create_object(&private)?;
            session.create_object(&public)
        });
        wipe(&mut private);
        made?;
        Ok((KeyHandle::new(handle.to_bytes()), self.key(&handle)?))
    }

    fn delete(&self, handle: &KeyHandle) -> Result<(), ProviderError> {
        let handle = Handle::read(handle.as_bytes())
            .filter(|handle| handle.serial == self.token.serial())
            .ok_or(ProviderError::UnknownHandle)?;
        self.token.with(|session| {
            for object in session.find_objects(&[Attribute::Id(handle.id.to_vec())])? {
                session.destroy_object(object)?;
            }
            Ok(())
        })
    }
}

impl Pkcs11Provider {
    fn new_handle(&self) -> Result<Handle, ProviderError> {
        let id = random::guid_bytes().map_err(|error| ProviderError::Device(error.to_string()))?;
        Ok(Handle {
            serial: self.token.serial().to_owned(),
            id,
        })
    }
}

fn public_template(handle: &Handle) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Encrypt(true),
        Attribute::Id(handle.id.to_vec()),
        Attribute::Label(LABEL.to_vec()),
    ]
}

fn private_template(handle: &Handle) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(true),
        Attribute::Id(handle.id.to_vec()),
        Attribute::Label(LABEL.to_vec()),
    ]
}

/// The library keeps numbers of keys in plain vectors.
fn wipe(template: &mut [Attribute]) {
    use zeroize::Zeroize as _;
    for attribute in template {
        if let Attribute::PrivateExponent(number)
        | Attribute::Prime1(number)
        | Attribute::Prime2(number)
        | Attribute::Exponent1(number)
        | Attribute::Exponent2(number)
        | Attribute::Coefficient(number) = attribute
        {
            number.zeroize();
        }
    }
}

/// Which halves of a key a search finds.
fn private_half(handle: &Handle) -> [Attribute; 2] {
    [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(handle.id.to_vec()),
    ]
}

/// The public half, from either object: modules keep its numbers with the private one too.
fn public_key(attributes: &[Attribute]) -> Option<PublicKey> {
    let mut modulus = None;
    let mut exponent = None;
    for attribute in attributes {
        match attribute {
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    let modulus: Vec<u8> = modulus?
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    let little_endian: Vec<u8> = modulus.into_iter().rev().collect();
    let exponent = exponent?.iter().try_fold(0_u32, |value, byte| {
        Some(value.checked_mul(256)? | u32::from(*byte))
    })?;
    PublicKey::from_le(&little_endian, exponent).ok()
}

const NUMBERS: [AttributeType; 2] = [AttributeType::Modulus, AttributeType::PublicExponent];
/// 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// What administrators see in the module's own tools.
const LABEL: &[u8] = b"OpenRMS";
