-- Whether a trusted user domain is believed when it certifies federated people.
ALTER TABLE trusted_user_domain ADD COLUMN allow_federated INTEGER NOT NULL DEFAULT 0;
