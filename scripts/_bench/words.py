"""The words of which the products' names are made; those in front are used most."""

from __future__ import annotations

from typing import Final

_FIRST: Final = (
    *("great", "golden", "green", "sunny", "nature", "family", "simply", "farm", "market"),
    *("blue", "red", "country", "spring", "valley", "hill", "river", "lake", "north", "silver"),
    *("meadow", "harvest", "morning", "old", "little", "happy", "true", "pure", "fresh", "home"),
    *("kings", "stone", "cedar", "oak", "maple", "prairie", "summit", "coast", "bay", "sun"),
)
_LAST: Final = (
    *("value", "farms", "choice", "valley", "kitchen", "pantry", "select", "fields", "foods"),
    *("brothers", "table", "mills", "garden", "creek", "ridge", "bakery", "dairy", "orchard"),
    *("basket", "harbor", "grove", "acres", "springs", "house", "works", "company", "brand"),
    *("kettle", "crest", "haven", "lane", "point", "ranch", "hollow", "peak", "wood", "glen"),
)

BRANDS: Final = tuple(
    # Half of them one word that no other name has.
    f"{first.title()} {last.title()}" if (i + j) % 2 else f"{first}{last}".title()
    for j, last in enumerate(_LAST)
    for i, first in enumerate(_FIRST)
)

KINDS: Final = (
    *("Whole Milk", "2% Milk", "White Bread", "Wheat Bread", "Large Eggs", "Butter", "Bananas"),
    *("Cheddar Cheese", "Mozzarella Cheese", "Greek Yogurt", "Vanilla Yogurt", "Orange Juice"),
    *("Apple Juice", "Chicken Breast", "Ground Beef", "Pork Chops", "Bacon", "Turkey Slices"),
    *("Tomato Soup", "Chicken Soup", "Tomato Sauce", "Pasta Sauce", "Spaghetti", "Penne Pasta"),
    *("White Rice", "Brown Rice", "Black Beans", "Kidney Beans", "Green Beans", "Sweet Corn"),
    *("Potato Chips", "Tortilla Chips", "Crackers", "Pretzels", "Popcorn", "Granola Bars"),
    *("Corn Flakes", "Oatmeal", "Granola Cereal", "Peanut Butter", "Strawberry Jam", "Honey"),
    *("Ketchup", "Mustard", "Mayonnaise", "Olive Oil", "Vegetable Oil", "Vinegar", "Sea Salt"),
    *("Black Pepper", "Flour", "Sugar", "Brown Sugar", "Chocolate Chips", "Vanilla Extract"),
    *("Ice Cream", "Frozen Pizza", "Frozen Peas", "French Fries", "Fish Sticks", "Waffles"),
    *("Ground Coffee", "Coffee Pods", "Green Tea", "Black Tea", "Cola", "Ginger Ale", "Lemonade"),
    *("Sparkling Water", "Spring Water", "Sports Drink", "Almond Milk", "Oat Milk", "Tofu"),
    *("Hummus", "Salsa", "Guacamole", "Sour Cream", "Cream Cheese", "Cottage Cheese", "Bagels"),
    *("Hamburger Buns", "Tortillas", "Paper Towels", "Toilet Paper", "Dish Soap", "Detergent"),
    *("Trash Bags", "Aluminum Foil", "Shampoo", "Conditioner", "Toothpaste", "Hand Soap"),
    *("Dog Food", "Cat Litter", "Diapers", "Baby Wipes", "Tuna", "Salmon Fillets", "Shrimp"),
    *("Blueberries", "Strawberries", "Gala Apples", "Avocados", "Baby Carrots", "Romaine Lettuce"),
)

QUALIFIERS: Final = (
    *("Organic", "Original", "Natural", "Classic", "Low Fat", "Fat Free", "Reduced Sodium"),
    *("Unsalted", "Unsweetened", "Gluten Free", "Whole Grain", "Sliced", "Shredded", "Diced"),
    *("Roasted", "Smoked", "Spicy", "Honey", "Vanilla", "Chocolate", "Strawberry", "Lemon"),
    *("Garlic", "Ranch", "Barbecue", "Jalapeno", "Extra Sharp", "Mild", "Thick Cut", "Family Size"),
    *("Variety Pack", "Party Size", "No Sugar Added", "Lightly Salted", "Crunchy", "Creamy"),
    *("Extra Virgin", "Stone Ground", "Double Stuffed", "Maple", "Cinnamon", "Mint", "Cherry"),
    *("Peach", "Mango", "Coconut", "Hazelnut", "Pumpkin Spice", "Sea Salt", "Italian", "Cajun"),
)

SIZES: Final = (
    *(("16", "oz"), ("12", "oz"), ("1", "gal"), ("64", "fl oz"), ("1", "lb"), ("32", "oz")),
    *(("8", "oz"), ("24", "oz"), ("12 x 12", "fl oz"), ("2", "l"), ("1/2", "gal"), ("5", "lb")),
    *(("10.5", "oz"), ("14.5", "oz"), ("6", "ct"), ("12", "ct"), ("18", "ct"), ("500", "g")),
    *(("6 x 16.9", "fl oz"), ("15", "oz"), ("3", "lb"), ("28", "oz"), ("20", "fl oz"), ("1", "kg")),
)
