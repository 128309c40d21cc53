"""Who may administer: admin keys now; administrators and sessions come with the console."""
