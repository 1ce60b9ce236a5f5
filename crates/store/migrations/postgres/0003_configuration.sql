-- Schema 3, as that of SQLite. Oldest release that may run on it: 0.1.0.
-- Migrations only add. Instants are seconds since 1970 UTC, GUIDs lower-case text.
-- Keys are ordered by their bytes, whatever language the database is set to.

CREATE TABLE configuration (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL CHECK (version BETWEEN 0 AND 1000000)
);
INSERT INTO configuration (id, version) VALUES (1, 0);

-- The scalar fields of ServerConfiguration, MS-RMPR 3.1.1.1.1: one row each, JSON values.
CREATE TABLE policy (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT             NOT NULL
);

CREATE TABLE setting (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT             NOT NULL
);

CREATE TABLE licensor_key (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    ordinal            BIGINT           NOT NULL UNIQUE,
    guid               TEXT             NOT NULL,
    mode               BIGINT           NOT NULL,
    sealed_private_key BYTEA            NOT NULL,
    slc_chain          TEXT             NOT NULL,
    created            BIGINT           NOT NULL,
    retired            BIGINT           NOT NULL
);

CREATE TABLE template (
    guid    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    xrml    TEXT             NOT NULL,
    state   TEXT             NOT NULL,
    updated BIGINT           NOT NULL
);

CREATE TABLE trusted_user_domain (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    slc_chain       TEXT             NOT NULL,
    friendly_name   TEXT             NOT NULL,
    allow_sid       BIGINT           NOT NULL,
    email_domains   TEXT             NOT NULL,
    -- Whether it is believed when it certifies federated people.
    allow_federated BIGINT           NOT NULL DEFAULT 0
);

CREATE TABLE trusted_publishing_domain (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    friendly_name      TEXT             NOT NULL,
    slc_chain          TEXT             NOT NULL,
    sealed_private_key BYTEA            NOT NULL
);

CREATE TABLE trusted_publishing_template (
    domain_id TEXT COLLATE "C" NOT NULL REFERENCES trusted_publishing_domain (id) ON DELETE CASCADE,
    ordinal   BIGINT           NOT NULL,
    xrml      TEXT             NOT NULL,
    PRIMARY KEY (domain_id, ordinal)
);

CREATE TABLE trusted_spc_ca_key (
    modulus  BYTEA  NOT NULL PRIMARY KEY,
    exponent BIGINT NOT NULL,
    name     TEXT   NOT NULL
);

CREATE TABLE application_exclusion (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    filename        TEXT             NOT NULL,
    minimum_version TEXT             NOT NULL,
    maximum_version TEXT             NOT NULL,
    description     TEXT             NOT NULL
);

CREATE TABLE rac_exclusion (
    modulus BYTEA  NOT NULL PRIMARY KEY,
    account TEXT,
    expires BIGINT,
    created BIGINT NOT NULL
);

CREATE TABLE revocation_authority (
    public_key BYTEA NOT NULL PRIMARY KEY,
    name       TEXT  NOT NULL
);

-- Key pairs of users, UD_Users of the product.
CREATE TABLE user_key (
    account        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed         BYTEA            NOT NULL,
    public_modulus BYTEA            NOT NULL,
    sealed_by      TEXT             NOT NULL,
    created        BIGINT           NOT NULL
);

CREATE TABLE client_key (
    account        TEXT COLLATE "C" NOT NULL,
    rac_key        BYTEA            NOT NULL,
    sealed         BYTEA            NOT NULL,
    public_modulus BYTEA            NOT NULL,
    sealed_by      TEXT             NOT NULL,
    created        BIGINT           NOT NULL,
    PRIMARY KEY (account, rac_key)
);

CREATE TABLE issued_certificate (
    guid       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind       TEXT             NOT NULL,
    account    TEXT,
    body_text  TEXT,
    digest     BYTEA,
    issued_at  BIGINT           NOT NULL,
    expires_at BIGINT,
    CHECK ((body_text IS NULL) <> (digest IS NULL))
);
CREATE INDEX issued_certificate_kind_account ON issued_certificate (kind, account);

-- The trust anchor of a hierarchy.
CREATE TABLE authority_role (
    role               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed_private_key BYTEA            NOT NULL,
    certificate        TEXT             NOT NULL,
    created            BIGINT           NOT NULL
);

-- How the master key is protected, for all servers of the cluster: what it says is not known here.
CREATE TABLE key_protection (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT   NOT NULL,
    version  BIGINT NOT NULL
);

-- The servers of the cluster, DRMS_ClusterServer of the product.
CREATE TABLE cluster_server (
    name      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    joined    BIGINT           NOT NULL,
    last_seen BIGINT           NOT NULL,
    version   TEXT             NOT NULL,
    address   TEXT             NOT NULL
);
