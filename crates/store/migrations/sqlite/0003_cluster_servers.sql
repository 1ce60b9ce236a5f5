-- Schema 3. Oldest release that may run on it: 0.1.0.

-- How the master key is protected, for all servers of the cluster: what it says is not known here.
CREATE TABLE key_protection (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT    NOT NULL,
    version  INTEGER NOT NULL
) STRICT;

-- The servers of the cluster, DRMS_ClusterServer of the product.
CREATE TABLE cluster_server (
    name      TEXT    NOT NULL PRIMARY KEY,
    joined    INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    version   TEXT    NOT NULL,
    address   TEXT    NOT NULL
) STRICT;
