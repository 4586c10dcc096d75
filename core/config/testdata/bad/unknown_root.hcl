locals {
  s = vra.symbol
}
