//! HTTP Negotiate (RFC 4559) with Kerberos.
