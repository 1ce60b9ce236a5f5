//! Random bytes from the system's generator, through AWS-LC.

/// The system's random number generator gave no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// Fills `bytes` with random bytes fit for keys.
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError)
}

/// Sixteen random bytes marked as a GUID of version 4, in the order in which they are written
/// as text (RFC 9562 section 5.4).
pub fn guid_bytes() -> Result<[u8; 16], RandomError> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_say_version_4_and_differ() {
        let (one, two) = (guid_bytes().unwrap(), guid_bytes().unwrap());
        assert_eq!(one[6] >> 4, 4);
        assert_eq!(one[8] >> 6, 2);
        assert_ne!(one, two);
    }
}
