package uart

// Registers by offset; DLAB, the top bit of LCR, swaps the first two for the divisor latch. Names and bits are those of
// National Semiconductor's PC16550D data sheet, section 8.
const (
	regData         = 0 // RBR when read, THR when written; DLL
	regIER          = 1 // DLM
	regIIR          = 2 // FCR when written
	regLCR          = 3
	regMCR          = 4
	regLSR          = 5
	regMSR          = 6
	regScratch      = 7
	registers       = 8
	fifoSize        = 16
	divisorOf115200 = 1
)

const (
	ierData   = 1 << 0 // received data available
	ierEmpty  = 1 << 1 // transmitter holding register empty
	ierLine   = 1 << 2 // receiver line status
	ierModem  = 1 << 3 // modem status
	ierBits   = ierData | ierEmpty | ierLine | ierModem
	iirNone   = 0x01
	iirModem  = 0x00
	iirEmpty  = 0x02
	iirData   = 0x04
	iirLine   = 0x06
	iirFIFO   = 0xc0 // FIFOs are on
	fcrEnable = 1 << 0
	fcrClear  = 1 << 1 // of the receiver; the transmitter has nothing to clear
	lcrDLAB   = 1 << 7
)

const (
	mcrDTR  = 1 << 0
	mcrRTS  = 1 << 1
	mcrOut1 = 1 << 2
	mcrOut2 = 1 << 3
	mcrLoop = 1 << 4
	mcrBits = mcrDTR | mcrRTS | mcrOut1 | mcrOut2 | mcrLoop

	lsrData    = 1 << 0
	lsrOverrun = 1 << 1
	lsrEmpty   = 1<<5 | 1<<6 // holding register and transmitter, both always

	msrDeltaCTS = 1 << 0
	msrDeltaDSR = 1 << 1
	msrTrailRI  = 1 << 2
	msrDeltaDCD = 1 << 3
	msrDeltas   = msrDeltaCTS | msrDeltaDSR | msrTrailRI | msrDeltaDCD
	msrCTS      = 1 << 4
	msrDSR      = 1 << 5
	msrRI       = 1 << 6
	msrDCD      = 1 << 7
	msrThere    = msrCTS | msrDSR | msrDCD // a terminal that is there and ready
)
