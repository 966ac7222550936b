"""Tables, facts about their data and the user's wishes -> a plan. Pure: nothing here reads or writes."""
