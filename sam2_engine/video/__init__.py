"""Videos, time-lapses and volumes: sessions, objects, memories."""
