import com.apcc.m11.arch.event.Event;
import com.apcc.m11.arch.event.ObjectId;
import java.io.ByteArrayOutputStream;
import java.io.FileOutputStream;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Writes event logs: java WriteEvents MANNER FILE [MILLISECONDS,ACTIVE,ID]...
 *
 * How the agent puts its events together is not known, so there are several manners.
 */
public class WriteEvents {
    public static void main(String[] args) throws Exception {
        List<Event> events = new ArrayList<>();
        for (String argument : Arrays.asList(args).subList(2, args.length)) {
            String[] parts = argument.split(",");
            events.add(new Event(Long.parseLong(parts[0]), Boolean.parseBoolean(parts[1]), new ObjectId(parts[2])));
        }
        try (OutputStream file = new FileOutputStream(args[1])) {
            write(args[0], events, file);
        }
    }

    private static void write(String manner, List<Event> events, OutputStream file) throws Exception {
        switch (manner) {
            case "appended":
                for (Event event : events) {
                    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                    try (ObjectOutputStream stream = new ObjectOutputStream(bytes)) {
                        stream.writeObject(event);
                    }
                    file.write(bytes.toByteArray());
                }
                return;
            case "reset":
                try (ObjectOutputStream stream = new ObjectOutputStream(file)) {
                    for (Event event : events) {
                        stream.writeObject(event);
                        stream.reset();
                    }
                }
                return;
            case "list":
                try (ObjectOutputStream stream = new ObjectOutputStream(file)) {
                    stream.writeInt(events.size());
                    stream.writeObject(new ArrayList<>(events));
                }
                return;
            case "crowd":
                try (ObjectOutputStream stream = new ObjectOutputStream(file)) {
                    for (Event event : events) {
                        stream.writeObject(neighbours());
                        stream.writeUTF("between");
                        stream.writeObject(new Object[] {event, null, event});
                    }
                }
                return;
            default:
                try (ObjectOutputStream stream = new ObjectOutputStream(file)) {
                    for (Event event : events) {
                        stream.writeObject(event);
                    }
                }
        }
    }

    /** Everything else that a stream can hold. */
    private static Object neighbours() {
        HashMap<String, Object> map = new HashMap<>();
        map.put("long", "x".repeat(70_000));
        map.put("enum", TimeUnit.DAYS);
        map.put("class", String.class);
        map.put("numbers", new Object[] {new long[] {1, 2}, new int[] {3, 5, 1, 5, 3, 19}, new double[] {.5}, new byte[999]});
        map.put("itself", map.keySet().toArray());
        map.put("exception", new IllegalStateException("with a trace", new Exception("and a cause")));
        map.put("proxy", java.lang.reflect.Proxy.newProxyInstance(
                WriteEvents.class.getClassLoader(), new Class<?>[] {Runnable.class}, new Silent()));
        Object[] circle = new Object[1];
        circle[0] = circle;
        map.put("circle", circle);
        return map;
    }

    private static final class Silent implements java.lang.reflect.InvocationHandler, java.io.Serializable {
        private static final long serialVersionUID = 1L;

        @Override
        public Object invoke(Object proxy, java.lang.reflect.Method method, Object[] args) {
            return null;
        }
    }
}
