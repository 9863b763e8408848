mod hostile;
mod mapping;
mod objects;
mod traps;
