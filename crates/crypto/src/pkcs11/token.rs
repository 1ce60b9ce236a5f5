//! One token, logged in to: sessions for as many callers as there are, and a new start when the
//! module forgot them (a restart of a network module, a card that was taken out and put back).

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::Pkcs11Settings;
use crate::provider::ProviderError;

/// A token that is logged in to.
pub(super) struct Token {
    module: Pkcs11,
    label: String,
    serial: String,
    pin: AuthPin,
    sessions: Mutex<Sessions>,
}

/// What a token said.
pub(super) type Outcome<T> = Result<T, Error>;

/// Sessions that nobody uses, and one that nobody ever does: with its last session, a token
/// forgets that somebody is logged in.
struct Sessions {
    keeper: Option<Session>,
    free: Vec<Session>,
    /// Raised with each new start: sessions and object handles of an earlier one mean nothing.
    generation: u64,
}

impl Token {
    pub(super) fn open(settings: &Pkcs11Settings) -> Result<Self, ProviderError> {
        let module = module(settings)?;
        let pin = std::str::from_utf8(settings.pin.expose())
            .map_err(|_| ProviderError::Device("the PIN is not UTF-8".into()))?;
        let (slot, serial) = find(&module, &settings.token)?;
        let token = Self {
            module,
            label: settings.token.clone(),
            serial,
            pin: AuthPin::from(pin.to_owned()),
            sessions: Mutex::new(Sessions {
                keeper: None,
                free: Vec::new(),
                generation: 0,
            }),
        };
        let keeper = token.log_in(slot).map_err(device)?;
        token.sessions().keeper = Some(keeper);
        Ok(token)
    }

    pub(super) fn serial(&self) -> &str {
        &self.serial
    }

    /// Raised when handles of objects have to be looked up anew.
    pub(super) fn generation(&self) -> u64 {
        self.sessions().generation
    }

    /// Does something with a session of its own. When the module forgot its sessions, everything
    /// is opened anew and the work done once more.
    pub(super) fn with<T>(
        &self,
        work: impl Fn(&Session) -> Outcome<T>,
    ) -> Result<T, ProviderError> {
        self.try_with(work).map_err(device)
    }

    /// As [`Token::with`], with the module's own error.
    pub(super) fn try_with<T>(&self, work: impl Fn(&Session) -> Outcome<T>) -> Outcome<T> {
        let (generation, first) = self.once(&work);
        match first {
            Err(error) if is_forgotten(&error) => {
                self.start_anew(generation)?;
                self.once(&work).1
            }
            outcome => outcome,
        }
    }

    fn once<T>(&self, work: impl Fn(&Session) -> Outcome<T>) -> (u64, Outcome<T>) {
        let (generation, free) = {
            let mut sessions = self.sessions();
            (sessions.generation, sessions.free.pop())
        };
        let session = match free {
            Some(session) => Ok(session),
            None => self.open_session(),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => return (generation, Err(error)),
        };
        let outcome = work(&session);
        let mut sessions = self.sessions();
        // An operation that failed half-way may be still open in its session.
        if outcome.is_ok() && sessions.generation == generation {
            sessions.free.push(session);
        }
        (generation, outcome)
    }

    fn open_session(&self) -> Outcome<Session> {
        let (slot, _) = find(&self.module, &self.label).map_err(|_| Error::InvalidValue)?;
        self.module.open_rw_session(slot)
    }

    /// Forgets all sessions and logs in again, unless somebody else just did.
    fn start_anew(&self, generation: u64) -> Outcome<()> {
        let mut sessions = self.sessions();
        if sessions.generation != generation {
            return Ok(());
        }
        sessions.free.clear();
        sessions.keeper = None;
        let (slot, serial) = find(&self.module, &self.label).map_err(|_| Error::InvalidValue)?;
        // Another token with the same label holds other keys.
        if serial != self.serial {
            return Err(Error::InvalidValue);
        }
        sessions.keeper = Some(self.log_in(slot)?);
        sessions.generation += 1;
        Ok(())
    }

    fn log_in(&self, slot: Slot) -> Outcome<Session> {
        let session = self.module.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // By another provider of this process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, serial {})", self.label, self.serial)
    }
}

/// In the words of the module.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn device(error: Error) -> ProviderError {
    let text = match error {
        Error::Pkcs11(RvError::PinIncorrect, _) => "the PIN is wrong".to_owned(),
        Error::Pkcs11(RvError::PinLocked, _) => "the PIN is locked".to_owned(),
        error => error.to_string(),
    };
    ProviderError::Device(text)
}

fn is_forgotten(error: &Error) -> bool {
    use RvError as E;
    matches!(
        error,
        Error::Pkcs11(
            E::SessionHandleInvalid
                | E::SessionClosed
                | E::UserNotLoggedIn
                | E::DeviceRemoved
                | E::DeviceError
                | E::TokenNotPresent
                | E::KeyHandleInvalid
                | E::ObjectHandleInvalid,
            _
        )
    )
}

/// A module is initialised once for the whole process (PKCS #11 5.4), whoever uses it.
fn module(settings: &Pkcs11Settings) -> Result<Pkcs11, ProviderError> {
    static MODULES: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_default();
    if let Some(module) = modules.get(&settings.module) {
        return Ok(module.clone());
    }
    let path = settings.module.display();
    let named = |error: Error| ProviderError::Device(format!("{path}: {error}"));
    let module = Pkcs11::new(&settings.module).map_err(named)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(named(error)),
    }
    modules.insert(settings.module.clone(), module.clone());
    Ok(module)
}

/// The one token with a label.
fn find(module: &Pkcs11, label: &str) -> Result<(Slot, String), ProviderError> {
    let mut found = None;
    for slot in module.get_slots_with_token().map_err(device)? {
        // A slot that is in trouble is not the one that is looked for, as far as anybody knows.
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        if info.label().trim_end() != label {
            continue;
        }
        let serial = info.serial_number().trim_end().to_owned();
        if found.replace((slot, serial)).is_some() {
            return Err(ProviderError::Device(format!(
                "several tokens have the label {label:?}"
            )));
        }
    }
    found.ok_or_else(|| ProviderError::Device(format!("no token has the label {label:?}")))
}
