"""Tests of app/security: each row of attacks on tokens, the vectors of others, second opinions and a fuzz."""
