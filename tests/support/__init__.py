"""What tests share: a Postgres, the service as a process, waiting with a deadline, what the machine has."""
