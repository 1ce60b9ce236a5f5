//! Key pairs made ahead of time by a thread of low priority: making one takes as long as hundreds
//! of licenses (MS-RMPR 3.1.1.3.4 wants one for each new account, 3.5.4.2 one for each CLC).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{Mode, SoftwareKey};
use openrms_engine::keys::KeySource;

/// Key pairs in stock.
pub(crate) struct KeyPool {
    wanted: usize,
    stock: Mutex<Stock>,
    changed: Condvar,
}

struct Stock {
    /// The mode of the keys: that in which one was taken last.
    mode: Mode,
    keys: VecDeque<SoftwareKey>,
    stopped: bool,
}

impl KeyPool {
    /// A pool and the thread that fills it.
    pub(crate) fn start(mode: Mode, wanted: usize) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let pool = Arc::new(Self {
            wanted,
            stock: Mutex::new(Stock {
                mode,
                keys: VecDeque::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let filled = Arc::clone(&pool);
        let thread = std::thread::Builder::new()
            .name("rmsd-keys".into())
            .spawn(move || filled.fill())?;
        Ok((pool, thread))
    }

    /// How many are in stock.
    pub(crate) fn level(&self) -> usize {
        self.lock().keys.len()
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn fill(&self) {
        // Serving comes first; where the system will not have it, keys are made all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            let full = |stock: &mut Stock| !stock.stopped && stock.keys.len() >= self.wanted;
            let stock = self
                .changed
                .wait_while(self.lock(), full)
                .unwrap_or_else(PoisonError::into_inner);
            if stock.stopped {
                return;
            }
            let mode = stock.mode;
            drop(stock);
            match SoftwareKey::generate(mode) {
                Ok(key) => {
                    let mut stock = self.lock();
                    if stock.mode == mode {
                        stock.keys.push_back(key);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "making keys ahead of time was given up");
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for KeyPool {
    fn take(&self, mode: Mode) -> Result<SoftwareKey, KeyError> {
        let mut stock = self.lock();
        if stock.mode != mode {
            // The cluster's mode was changed.
            stock.mode = mode;
            stock.keys.clear();
            self.changed.notify_one();
        }
        let ready = stock.keys.pop_front();
        drop(stock);
        match ready {
            Some(key) => {
                self.changed.notify_one();
                Ok(key)
            }
            None => SoftwareKey::generate(mode),
        }
    }
}

const NICE: i32 = 19;

#[cfg(test)]
mod tests {
    use openrms_crypto::PrivateKey as _;

    use super::*;

    #[test]
    fn after_a_change_of_mode_no_key_of_the_old_one_is_given_out() {
        let (pool, thread) = KeyPool::start(Mode::One, 3).unwrap();
        let fill = || {
            while pool.level() < 3 {
                std::thread::yield_now();
            }
        };
        let bits = |mode| pool.take(mode).unwrap().public().bits();
        fill();
        assert_eq!(bits(Mode::One), 1024);
        fill();
        for _ in 0..2 {
            for _ in 0..3 {
                assert_eq!(bits(Mode::Two), 2048);
            }
            fill();
        }
        pool.stop();
        thread.join().unwrap();
    }
}
