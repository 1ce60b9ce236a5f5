//! Who is calling (`RequestContext` of MS-RMPR 3.1.1.1.8): an account of the directory, or somebody
//! whom a federated issuer vouches for.

use std::borrow::Cow;

use openrms_directory::{Account, AccountRef, Address, Directory, DirectoryError, Identity};

/// Who is calling.
#[derive(Debug, Clone, Default)]
pub enum Caller {
    /// Nobody signed in.
    #[default]
    Nobody,
    /// An account of the directory (`DomainAccount`).
    Account(Box<Account>),
    /// Somebody of another organization (`FederatedAccount`).
    Federated(FederatedAccount),
}

/// Somebody whom an issuer vouches for and the directory has no account for (MS-RMPR 3.1.1.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedAccount {
    mail: Address,
    aliases: Vec<Address>,
}

impl Caller {
    /// What the log calls them.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Nobody => None,
            Self::Account(account) => Some(account.name.to_string().into()),
            Self::Federated(account) => Some(account.mail.as_str().into()),
        }
    }

    /// Their primary mail address.
    pub fn mail(&self) -> Option<&Address> {
        match self {
            Self::Nobody => None,
            Self::Account(account) => account.mail.as_ref(),
            Self::Federated(account) => Some(&account.mail),
        }
    }
}

impl From<Account> for Caller {
    fn from(account: Account) -> Self {
        Self::Account(Box::new(account))
    }
}

impl FederatedAccount {
    /// The account of these addresses; `None` where the primary one is that of an account of the
    /// directory. Further ones that are, are left out: nobody becomes somebody of this
    /// organization by the word of another.
    pub async fn find(
        directory: &dyn Directory,
        mail: Address,
        aliases: impl IntoIterator<Item = Address>,
    ) -> Result<Option<Self>, DirectoryError> {
        let is_taken = async |address: &Address| {
            let holder = AccountRef::Address(address.clone());
            Ok(directory.account(&holder).await?.is_some())
        };
        if is_taken(&mail).await? {
            return Ok(None);
        }
        let mut own: Vec<Address> = Vec::new();
        for alias in aliases {
            if alias != mail && !own.contains(&alias) && !is_taken(&alias).await? {
                own.push(alias);
            }
        }
        Ok(Some(Self { mail, aliases: own }))
    }

    /// The primary address (`emailAddress`), by which the account is known.
    pub fn mail(&self) -> &Address {
        &self.mail
    }

    /// Further addresses (`proxyAddresses`).
    pub fn aliases(&self) -> &[Address] {
        &self.aliases
    }
}

impl From<&FederatedAccount> for Identity {
    fn from(account: &FederatedAccount) -> Self {
        let addresses = std::iter::once(&account.mail).chain(&account.aliases);
        Self {
            sid: None,
            addresses: addresses.cloned().collect(),
        }
    }
}
