//! Certificates of a gateway's own CA.
