// Sends one codec in one scalability mode, with a key frame on the way; the number of the header extension.
async (codec, mode, uri) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const context = canvas.getContext("2d");
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    context.fillStyle = `hsl(${(count * 7) % 360} 80% 50%)`;
    context.fillRect(0, 0, 640, 360);
  }, 40);
  const sender = new RTCPeerConnection();
  const receiver = new RTCPeerConnection();
  sender.onicecandidate = ({ candidate }) => candidate && receiver.addIceCandidate(candidate);
  receiver.onicecandidate = ({ candidate }) => candidate && sender.addIceCandidate(candidate);
  const transceiver = sender.addTransceiver(canvas.captureStream(25).getVideoTracks()[0], {
    direction: "sendonly",
    sendEncodings: [{ scalabilityMode: mode, maxBitrate: 2_000_000 }],
  });
  const wanted = RTCRtpReceiver.getCapabilities("video").codecs.filter(
    ({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}`,
  );
  transceiver.setCodecPreferences(wanted);
  await sender.setLocalDescription();
  await receiver.setRemoteDescription(sender.localDescription);
  await receiver.setLocalDescription();
  await sender.setRemoteDescription(receiver.localDescription);
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  await pause(2_500);
  await transceiver.sender.setParameters(transceiver.sender.getParameters(), {
    encodingOptions: [{ keyFrame: true }],
  });
  await pause(1_500);
  clearInterval(timer);
  const line = receiver.localDescription.sdp.split("\r\n").find((one) => one.endsWith(uri));
  const number = Number(line.match(/^a=extmap:(\d+)/)[1]);
  sender.close();
  receiver.close();
  return number;
}
