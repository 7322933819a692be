/**
 * mediasoup for `loadtest bench peers`: one router with one WebRTC transport per participant.
 *
 * Requests come as JSON lines on standard input and are answered in order on standard output. Ends with its input.
 * Receivers get what mediasoup supports, as its own demo negotiates with a browser, or all but what congestion
 * control needs.
 */
"use strict";

const mediasoup = require("mediasoup");
const readline = require("readline");

const CONGESTION_CONTROL = ["transport-cc", "goog-remb", "transport-wide-cc", "abs-send-time"];
const transports = new Map();
let router;
let capabilities;
let producer;

function withoutCongestionControl({ codecs, headerExtensions, ...rest }) {
    const isLeft = (name) => !CONGESTION_CONTROL.some((one) => name.includes(one));
    return {
        ...rest,
        headerExtensions: headerExtensions.filter(({ uri }) => isLeft(uri)),
        codecs: codecs.map((codec) => ({
            ...codec,
            rtcpFeedback: codec.rtcpFeedback.filter(({ type }) => isLeft(type)),
        })),
    };
}

const operations = {
    /** Begin, with the payload type that VP8 has on both sides. */
    async start({ payloadType, isLean }) {
        const worker = await mediasoup.createWorker();
        worker.on("died", () => process.exit(1));
        const codec = { kind: "video", mimeType: "video/VP8", clockRate: 90000, preferredPayloadType: payloadType };
        router = await worker.createRouter({ mediaCodecs: [codec] });
        capabilities = isLean ? withoutCongestionControl(router.rtpCapabilities) : router.rtpCapabilities;
        return {};
    },

    /** The server's end of a connection. */
    async open({ id }) {
        const transport = await router.createWebRtcTransport({ listenIps: ["127.0.0.1"] });
        transports.set(id, transport);
        return {
            ice: transport.iceParameters,
            candidates: transport.iceCandidates,
            dtls: transport.dtlsParameters,
        };
    },

    /** The other end of a connection. */
    async connect({ id, role, algorithm, fingerprint }) {
        const fingerprints = [{ algorithm, value: fingerprint }];
        await transports.get(id).connect({ dtlsParameters: { role, fingerprints } });
        return {};
    },

    /** Take the publisher's video. */
    async produce({ id, payloadType, rtxPayloadType, feedback, ssrc, rtxSsrc, mid, extensions }) {
        const rtcpFeedback = feedback.map(([type, parameter]) => ({ type, parameter }));
        producer = await transports.get(id).produce({
            kind: "video",
            rtpParameters: {
                mid,
                codecs: [
                    { mimeType: "video/VP8", payloadType, clockRate: 90000, rtcpFeedback },
                    {
                        mimeType: "video/rtx",
                        payloadType: rtxPayloadType,
                        clockRate: 90000,
                        parameters: { apt: payloadType },
                    },
                ],
                headerExtensions: extensions.map(([number, uri]) => ({ id: number, uri })),
                encodings: [{ ssrc, rtx: { ssrc: rtxSsrc } }],
                rtcp: { cname: "bench" },
            },
        });
        return {};
    },

    /** Send that video to a receiver, who has not connected yet: it flows once they have. */
    async consume({ id }) {
        const consumer = await transports.get(id).consume({
            producerId: producer.id,
            rtpCapabilities: capabilities,
        });
        return { parameters: consumer.rtpParameters };
    },
};

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        let answer;
        try {
            const request = JSON.parse(line);
            answer = await operations[request.operation](request);
        } catch (error) {
            answer = { error: String(error) };
        }
        process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
    process.exit(0);
}

main();
