// The forwarder that `loadtest bench peers` runs as pion: one publisher's video to any number of subscribers, with
// pion's default interceptors (NACK both ways, reports, transport-wide feedback), as whoever builds on pion begins.
//
// It answers offers of complete SDP by HTTP on loopback: POST /publish and POST /subscribe. Media stays on loopback.
// Its first line on standard output is the address of the HTTP server.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Longest offer that is read.
const maxOfferBytes = 1 << 20

type forwarder struct {
	api   *webrtc.API
	track *webrtc.TrackLocalStaticRTP
	// Asks the publisher for a key frame; nil while nobody publishes.
	wantKeyFrame atomic.Pointer[func()]
}

func main() {
	forwarder, err := newForwarder()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /publish", forwarder.answering(forwarder.publish))
	http.HandleFunc("POST /subscribe", forwarder.answering(forwarder.subscribe))
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

func newForwarder() (*forwarder, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "bench")
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings))
	return &forwarder{api: api, track: track}, nil
}

// publish takes what the other side sends as the video that subscribers get.
func (f *forwarder) publish(connection *webrtc.PeerConnection) error {
	connection.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		want := func() {
			request := &rtcp.PictureLossIndication{MediaSSRC: uint32(remote.SSRC())}
			if err := connection.WriteRTCP([]rtcp.Packet{request}); err != nil {
				log.Print(err)
			}
		}
		f.wantKeyFrame.Store(&want)
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			// A subscriber that is gone is none of the others' business.
			if err := f.track.WriteRTP(packet); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				log.Print(err)
			}
		}
	})
	return nil
}

// subscribe sends the published video to the other side.
func (f *forwarder) subscribe(connection *webrtc.PeerConnection) error {
	sender, err := connection.AddTrack(f.track)
	if err != nil {
		return err
	}
	// Interceptors see only the RTCP that somebody reads.
	go func() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				if _, wanted := packet.(*rtcp.PictureLossIndication); wanted {
					if want := f.wantKeyFrame.Load(); want != nil {
						(*want)()
					}
				}
			}
		}
	}()
	return nil
}

// answering makes a handler that answers an offer with a connection that `prepare` has seen first.
func (f *forwarder) answering(prepare func(*webrtc.PeerConnection) error) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		offer, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxOfferBytes))
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := f.answer(string(offer), prepare)
		if err != nil {
			http.Error(response, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		_, _ = io.WriteString(response, answer)
	}
}

func (f *forwarder) answer(offer string, prepare func(*webrtc.PeerConnection) error) (string, error) {
	connection, err := f.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	if err := prepare(connection); err != nil {
		return "", err
	}
	if err := connection.SetRemoteDescription(
		webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}
