// Package price knows what models cost. Providers report tokens; money is the core's.
//
// The table (prices.json) holds what vendors publish, each list with the day on which it was read and where. It applies where a
// provider says that its server charges by such a list (llm.Description.PriceList), and nowhere else: the same name at somebody
// else's server may cost anything. Two things are stronger than the table: a price in the llm block, and the user's own file,
// prices.json in voidbox's configuration directory, which has the same shape and adds to the table or replaces entries of it.
//
// A model that is in none of them has no known price, and then its cost is unknown; it is never a guess.
package price
