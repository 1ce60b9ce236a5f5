//! Answers as a database gets them: encrypted and authenticated, under digests that do not tell
//! the question.

use openrms_crypto::envelope::{self, EnvelopeError};
use openrms_crypto::{Secret, sha256};
use zeroize::Zeroizing;

use super::answer_store::{AnswerKind, KeptAnswer, MAX_SEALED, StoredAnswer};

/// The keys under which answers are given to a database.
///
/// Without them nobody can make an answer, change one, or give one to another question. Whoever
/// may write to the database can still take answers away, or bring back those that have not ended.
#[derive(Clone)]
pub struct AnswerSeal {
    answers: Zeroizing<[u8; 32]>,
    questions: Zeroizing<[u8; 32]>,
}

impl AnswerSeal {
    /// Keys made of a secret that the servers of a cluster share. `directory` says which
    /// directory is asked, and as whom: what one answered is nothing to those who ask another.
    pub fn new(secret: &[u8], directory: &str) -> Result<Self, EnvelopeError> {
        let key = |purpose| envelope::derive(secret, directory.as_bytes(), purpose);
        Ok(Self {
            answers: key(b"openrms answers of directories 1")?,
            questions: key(b"openrms questions to directories 1")?,
        })
    }

    /// Stands for a question, and does not tell it.
    pub(super) fn question(&self, kind: AnswerKind, parts: &[&str]) -> [u8; 32] {
        let mut text = Zeroizing::new(self.questions.to_vec());
        for part in [kind.as_str()].iter().chain(parts) {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        sha256(&text)
    }

    /// Puts an answer into `place`, whose own answer is still empty. False when it is too long.
    pub(super) fn seal(&self, place: &mut KeptAnswer, plain: &[u8]) -> bool {
        let bound = bound(place.kind, &place.question, place.generation, &place.answer);
        match envelope::seal(&self.answers, &bound, plain) {
            Ok(sealed) if sealed.len() <= MAX_SEALED => {
                place.answer.sealed = sealed;
                true
            }
            _ => false,
        }
    }

    /// The answer to this question, if it is one and was stored with these times.
    pub(super) fn open(
        &self,
        kind: AnswerKind,
        question: &[u8; 32],
        generation: i64,
        answer: &StoredAnswer,
    ) -> Option<Secret> {
        if answer.sealed.len() > MAX_SEALED {
            return None;
        }
        let bound = bound(kind, question, generation, answer);
        envelope::open(&self.answers, &bound, &answer.sealed).ok()
    }
}

impl std::fmt::Debug for AnswerSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerSeal")
    }
}

/// What an answer is tied to.
fn bound(kind: AnswerKind, question: &[u8; 32], generation: i64, answer: &StoredAnswer) -> Vec<u8> {
    let mut bound = question.to_vec();
    for number in [generation, answer.asked, answer.expires] {
        bound.extend_from_slice(&number.to_le_bytes());
    }
    bound.extend_from_slice(kind.as_str().as_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &AnswerSeal, plain: &[u8]) -> Option<KeptAnswer> {
        let mut kept = KeptAnswer {
            kind: AnswerKind::Memberships,
            question: seal.question(AnswerKind::Memberships, &["alice"]),
            generation: 3,
            answer: StoredAnswer {
                asked: 100,
                expires: 200,
                sealed: Vec::new(),
            },
        };
        seal.seal(&mut kept, plain).then_some(kept)
    }

    fn opened(seal: &AnswerSeal, kept: &KeptAnswer) -> Option<Secret> {
        seal.open(kept.kind, &kept.question, kept.generation, &kept.answer)
    }

    #[test]
    fn an_answer_opens_for_its_question_and_with_its_times_only() {
        let seal = AnswerSeal::new(b"secret", "corp.example").unwrap();
        let kept = sealed(&seal, b"staff").unwrap();
        assert_eq!(opened(&seal, &kept).unwrap().expose(), b"staff");
        let changes: [fn(&mut KeptAnswer); 6] = [
            |kept| kept.kind = AnswerKind::ForeignMember,
            |kept| kept.question[0] ^= 1,
            |kept| kept.generation = 4,
            |kept| kept.answer.asked += 1,
            |kept| kept.answer.expires += 1,
            |kept| kept.answer.sealed[20] ^= 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = kept.clone();
            change(&mut changed);
            assert!(opened(&seal, &changed).is_none(), "change {number}");
        }
    }

    #[test]
    fn another_cluster_or_another_directory_opens_nothing() {
        let seal = AnswerSeal::new(b"secret", "corp.example").unwrap();
        let kept = sealed(&seal, b"staff").unwrap();
        for (secret, directory) in [(&b"other!"[..], "corp.example"), (b"secret", "x.example")] {
            let other = AnswerSeal::new(secret, directory).unwrap();
            assert!(opened(&other, &kept).is_none());
            assert_ne!(other.question(kept.kind, &["alice"]), kept.question);
        }
    }

    #[test]
    fn questions_are_told_apart_by_kind_and_by_where_parts_end() {
        let seal = AnswerSeal::new(b"secret", "corp.example").unwrap();
        let question = |kind, parts: &[&str]| seal.question(kind, parts);
        let one = question(AnswerKind::Account, &["ab", "c"]);
        assert_eq!(one, question(AnswerKind::Account, &["ab", "c"]));
        assert_ne!(one, question(AnswerKind::Account, &["a", "bc"]));
        assert_ne!(one, question(AnswerKind::Forest, &["ab", "c"]));
    }

    #[test]
    fn what_is_too_long_is_neither_sealed_nor_opened() {
        let seal = AnswerSeal::new(b"secret", "corp.example").unwrap();
        assert!(sealed(&seal, &vec![0; MAX_SEALED]).is_none());
        let mut long = sealed(&seal, b"staff").unwrap();
        long.answer.sealed.resize(MAX_SEALED + 1, 0);
        assert!(opened(&seal, &long).is_none());
    }
}
