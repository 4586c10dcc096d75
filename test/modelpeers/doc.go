// Package modelpeers holds our two sides of the models' protocols against those of the vendors: the official clients read our model
// server, and our plugins ask a server made of Ollama's own middleware. It is a module of its own, since these libraries are large
// and nothing but this test needs them.
package modelpeers
