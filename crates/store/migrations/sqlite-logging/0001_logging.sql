-- Schema 1 of the logging database. Events are in tables of their own, one for each UTC day
-- (`event_20261120`), which are made when the day comes and dropped when it is old.
-- Instants are milliseconds since 1970 UTC, days are counted from 1970-01-01.

-- The days of which there is a table.
CREATE TABLE log_day (
    day INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- Each certificate once, by the SHA-256 of its text; the last day of which an event names it.
CREATE TABLE log_certificate (
    digest BLOB    NOT NULL PRIMARY KEY,
    kind   TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    text   TEXT    NOT NULL
) STRICT;
CREATE INDEX log_certificate_day ON log_certificate (day);
