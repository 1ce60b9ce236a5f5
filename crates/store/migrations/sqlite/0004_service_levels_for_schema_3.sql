-- Schema 4. Oldest release that may run on it: 0.1.0.

-- The version of RMS that each server behaves as, and its last upgrade: from which release to which,
-- and when. Releases that know nothing of them leave them as they are.
ALTER TABLE cluster_server ADD COLUMN service_level TEXT;
ALTER TABLE cluster_server ADD COLUMN upgraded_from TEXT;
ALTER TABLE cluster_server ADD COLUMN upgraded_to TEXT;
ALTER TABLE cluster_server ADD COLUMN upgraded_at INTEGER;
