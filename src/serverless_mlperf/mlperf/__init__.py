"""LoadGen: settings, driver, logs, verdict; one run per process."""
