// Package wiretest plays a guest for tests of network plugins: it stands at the device's end of a link, sends frames that a test
// writes down field by field, and asserts what comes back.
//
//	g := wiretest.Attach(t, plugin, wiretest.Layout())
//	c := g.Dial(server)                       // SYN, and the handshake is completed
//	c.Send("hello")
//	c.Expect(wiretest.Ack)
//	g.Send(wiretest.TCP{From: c.Local, To: c.Remote, Seq: c.Next + 1, Flags: wiretest.Rst})
//
// Checksums and lengths are right unless the test says otherwise (Mangle). Every frame that comes from the plugin is decoded whole, its
// addresses and checksums verified, and what is not expected stays to be looked at.
//
// There is no time in it: Expect waits as long as it takes, with a deadline that only a hang reaches, and Settled tells that everything
// sent before has been worked on, by asking who has the gateway's address.
package wiretest
