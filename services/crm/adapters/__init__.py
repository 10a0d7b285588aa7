"""How crm reaches its store, the other services, Liquid and the mail server."""
