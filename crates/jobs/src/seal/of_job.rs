//! The former form of sealed documents, in which the job's id was authenticated in place of those
//! of gateway and agent. Only the move of old keys reads it.

use secrecy::zeroize::Zeroizing;

use super::{Keyring, OpenError, TOKENS, URL, destination};
use mission_core::json;

impl Keyring {
    /// Returns a document that was sealed for a job with its secrets in plain text. Returns none if
    /// nothing in it is sealed.
    pub(crate) fn open_of_job(
        &self,
        job: &str,
        document: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, OpenError> {
        let Ok(mut value) = json::read(document) else { return Ok(None) };
        let context = format!("mission-worker|{job}|{}", URL.1);
        let mut any = self.open_field(&mut value, URL, &context)?;
        for (pointer, field) in TOKENS {
            let context = format!("mission-worker|{job}|{field}|{}", destination(&value));
            any |= self.open_field(&mut value, (pointer, field), &context)?;
        }
        Ok(any.then(|| Zeroizing::new(value.to_string().into_bytes())))
    }
}
