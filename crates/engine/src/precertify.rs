//! Precertify: the public half of a person's RAC, for whoever acts on their behalf (MS-RMSI
//! 3.3.4.1). It lets ULs be made for the person and opens nothing.

use openrms_directory::{Account, AccountRef, Address, Sid};
use openrms_protocol::precertification::{
    Identification, Precertify, PrecertifyParams, PrecertifyResponse,
};
use openrms_protocol::{CertificateText, FaultCode};
use openrms_xrml::Guid;

use crate::accounts::{absent, account_key, identity_of, signed_in};
use crate::caller::Caller;
use crate::certify::NewRac;
use crate::context::{Context, check_certifies};
use crate::refusal::Refusal;

/// A RAC without a private key was issued.
#[derive(Debug)]
pub struct Precertified {
    /// The answer.
    pub response: PrecertifyResponse<'static>,
    /// Whom it is about, for the log.
    pub account: String,
    /// The certificate's identifier, for the log.
    pub certificate: Guid,
}

/// Decides on a Precertify request. Everybody who signs in may ask; who may sign in at the
/// endpoint is not decided here.
pub async fn precertify(
    context: &Context<'_>,
    caller: &Caller,
    request: &Precertify,
) -> Result<Precertified, Refusal> {
    check_certifies(context.cluster, context.now)?;
    signed_in(caller)?;
    let [params] = request.items.as_slice() else {
        let reason = format!("{} certificates in one request", request.items.len());
        return Err(Refusal::new(FaultCode::DrmsArgument, reason));
    };
    let account = identify(context, params).await?;
    let identity = identity_of(&account, FaultCode::DrmsArgument)?;
    let (key, _) = account_key(context, &identity.id).await?;
    let new = NewRac {
        account: &identity,
        key: &key,
        temporary: false,
        sealed: None,
    };
    // Not put on record: it gives nobody anything they could not be told at any time.
    let rac = new.issue(context)?;
    let certificate = CertificateText::new(rac.text)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    Ok(Precertified {
        response: PrecertifyResponse { certificate },
        account: identity.email,
        certificate: rac.id,
    })
}

/// The account that mail address and SID mean, which must be the same where both are given.
async fn identify(context: &Context<'_>, params: &PrecertifyParams) -> Result<Account, Refusal> {
    let wrong = |reason: String| Refusal::new(FaultCode::DrmsArgument, reason);
    let find = async |who| absent(context, &who, FaultCode::DrmsArgument).await;
    let by_name = match &params.user_name {
        Some(name) => {
            let address: Address = name.parse().map_err(|e| wrong(format!("UserName: {e}")))?;
            Some(find(AccountRef::Address(address)).await?)
        }
        None => None,
    };
    let by_id = match &params.identification {
        Some(Identification { id, .. }) => {
            let sid: Sid = id
                .trim()
                .parse()
                .map_err(|e| wrong(format!("Identification: {e}")))?;
            Some(find(AccountRef::Sid(sid)).await?)
        }
        None => None,
    };
    match (by_name, by_id) {
        (Some(one), Some(other)) if one.sid != other.sid => Err(Refusal::new(
            FaultCode::UnauthorizedAccess,
            format!("{} is not {}", one.name, other.name),
        )),
        (Some(account), _) | (None, Some(account)) => Ok(account),
        (None, None) => Err(Refusal::new(FaultCode::ArgumentNull, "nobody is named")),
    }
}
