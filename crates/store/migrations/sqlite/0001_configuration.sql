-- Schema 1. Oldest release that may run on it: 0.1.0.
-- Migrations only add. Instants are seconds since 1970 UTC, GUIDs lower-case text.

CREATE TABLE configuration (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL CHECK (version BETWEEN 0 AND 1000000)
) STRICT;
INSERT INTO configuration (id, version) VALUES (1, 0);

-- The scalar fields of ServerConfiguration, MS-RMPR 3.1.1.1.1: one row each, JSON values.
CREATE TABLE policy (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE licensor_key (
    id                 TEXT    NOT NULL PRIMARY KEY,
    ordinal            INTEGER NOT NULL UNIQUE,
    guid               TEXT    NOT NULL,
    mode               INTEGER NOT NULL,
    sealed_private_key BLOB    NOT NULL,
    slc_chain          TEXT    NOT NULL,
    created            INTEGER NOT NULL,
    retired            INTEGER NOT NULL
) STRICT;

CREATE TABLE template (
    guid    TEXT    NOT NULL PRIMARY KEY,
    xrml    TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    updated INTEGER NOT NULL
) STRICT;

CREATE TABLE trusted_user_domain (
    id            TEXT    NOT NULL PRIMARY KEY,
    slc_chain     TEXT    NOT NULL,
    friendly_name TEXT    NOT NULL,
    allow_sid     INTEGER NOT NULL,
    email_domains TEXT    NOT NULL
) STRICT;

CREATE TABLE trusted_publishing_domain (
    id                 TEXT NOT NULL PRIMARY KEY,
    friendly_name      TEXT NOT NULL,
    slc_chain          TEXT NOT NULL,
    sealed_private_key BLOB NOT NULL
) STRICT;

CREATE TABLE trusted_publishing_template (
    domain_id TEXT    NOT NULL REFERENCES trusted_publishing_domain (id) ON DELETE CASCADE,
    ordinal   INTEGER NOT NULL,
    xrml      TEXT    NOT NULL,
    PRIMARY KEY (domain_id, ordinal)
) STRICT;

CREATE TABLE trusted_spc_ca_key (
    modulus  BLOB    NOT NULL PRIMARY KEY,
    exponent INTEGER NOT NULL,
    name     TEXT    NOT NULL
) STRICT;

CREATE TABLE application_exclusion (
    id              TEXT NOT NULL PRIMARY KEY,
    filename        TEXT NOT NULL,
    minimum_version TEXT NOT NULL,
    maximum_version TEXT NOT NULL,
    description     TEXT NOT NULL
) STRICT;

CREATE TABLE rac_exclusion (
    modulus BLOB    NOT NULL PRIMARY KEY,
    account TEXT,
    expires INTEGER,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE revocation_authority (
    public_key BLOB NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL
) STRICT;

-- Key pairs of users, UD_Users of the product.
CREATE TABLE user_key (
    account        TEXT    NOT NULL PRIMARY KEY,
    sealed         BLOB    NOT NULL,
    public_modulus BLOB    NOT NULL,
    sealed_by      TEXT    NOT NULL,
    created        INTEGER NOT NULL
) STRICT;

CREATE TABLE client_key (
    account        TEXT    NOT NULL,
    rac_key        BLOB    NOT NULL,
    sealed         BLOB    NOT NULL,
    public_modulus BLOB    NOT NULL,
    sealed_by      TEXT    NOT NULL,
    created        INTEGER NOT NULL,
    PRIMARY KEY (account, rac_key)
) STRICT;

CREATE TABLE issued_certificate (
    guid       TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    account    TEXT,
    body_text  TEXT,
    digest     BLOB,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER,
    CHECK ((body_text IS NULL) <> (digest IS NULL))
) STRICT;
CREATE INDEX issued_certificate_kind_account ON issued_certificate (kind, account);

-- The trust anchor of a hierarchy.
CREATE TABLE authority_role (
    role               TEXT    NOT NULL PRIMARY KEY,
    sealed_private_key BLOB    NOT NULL,
    certificate        TEXT    NOT NULL,
    created            INTEGER NOT NULL
) STRICT;
