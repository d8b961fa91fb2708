"""What we believe, held against itself and told: reports that finance closes a month with."""
