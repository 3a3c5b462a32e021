//! The production disk: the Disk seam over real files. The only crate of the core's side that touches std::fs.
