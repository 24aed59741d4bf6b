import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** A small service on UDP whose use of memory is known: `Service MODE key=value...`, sizes in bytes. */
public final class Service {
    private static final Map<String, Double> OF = new HashMap<>();
    private static final List<Object> KEPT = new ArrayList<>();
    private static Random random;

    private static int some(String name) {
        return (int) (OF.getOrDefault(name, 0.0) * (0.5 + random.nextDouble()));
    }

    /** Keeps a buffer outside the heap. */
    private static void direct() {
        ByteBuffer buffer = ByteBuffer.allocateDirect(some("each"));
        while (buffer.hasRemaining()) {
            buffer.put((byte) 1);
        }
        KEPT.add(buffer);
    }

    /** Keeps rows in the heap. */
    private static void heap() {
        for (int left = some("each"); left > 0; left -= 4096) {
            KEPT.add(new byte[4080]);
        }
    }

    /** Uses so many bytes of its stack, at some hundred a call, and stays there. */
    private static double descend(int left, double a, double b, double c, double d) {
        if (left > 0) {
            return descend(left - 150, a + 1, b + 2, c + 3, d + 4) + a * b * c * d;
        }
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException error) {
            return 0;
        }
        return 1;
    }

    /** Leaves a thread. */
    private static void threads() {
        int size = some("each");
        Thread thread = new Thread(null, () -> descend(size, 1, 2, 3, 4), "request", 3L * size + (1 << 18));
        thread.setDaemon(true);
        thread.start();
    }

    /** Makes garbage; a tenth of it lives for the next few requests. */
    private static void garbage() {
        for (int left = some("each"); left > 0; left -= 16384) {
            byte[] row = new byte[16384];
            row[0] = 1;
            if (random.nextInt(10) == 0) {
                KEPT.add(row);
            }
        }
        if (KEPT.size() > OF.getOrDefault("live", 0.0) / 16384) {
            KEPT.clear();
        }
    }

    private static final Map<String, Runnable> MODES =
            Map.of("direct", Service::direct, "heap", Service::heap, "threads", Service::threads, "garbage", Service::garbage);

    public static void main(String[] words) throws Exception {
        for (int i = 1; i < words.length; i++) {
            String[] pair = words[i].split("=");
            OF.put(pair[0], Double.valueOf(pair[1]));
        }
        random = new Random((long) (OF.getOrDefault("seed", 0.0) * 1000 + OF.getOrDefault("run", 0.0)));
        Runnable mode = MODES.get(words[0]);
        try (DatagramSocket server = new DatagramSocket(7000, InetAddress.getLoopbackAddress())) {
            DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
            while (true) {
                server.receive(packet);
                mode.run();
                server.send(packet);
                packet.setLength(2048);
            }
        }
    }
}
