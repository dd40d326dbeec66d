"""Who this person is and what they have chosen: sessions, settings, servers, themes."""
