"""Many runs: comparing recipes and tuning one."""
