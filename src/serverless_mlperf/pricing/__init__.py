"""What a query costs on AWS: dated list prices, Lambda's billing rules by date, and their product."""
