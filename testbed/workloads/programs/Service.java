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

    public static void main(String[] words) throws Exception {
        for (int i = 1; i < words.length; i++) {
            String[] pair = words[i].split("=");
            OF.put(pair[0], Double.valueOf(pair[1]));
        }
        random = new Random((long) (OF.getOrDefault("seed", 0.0) * 1000 + OF.getOrDefault("run", 0.0)));
        try (DatagramSocket server = new DatagramSocket(7000, InetAddress.getLoopbackAddress())) {
            DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
            while (true) {
                server.receive(packet);
                if (words[0].equals("direct")) {
                    direct();
                } else {
                    garbage();
                }
                server.send(packet);
                packet.setLength(2048);
            }
        }
    }
}
