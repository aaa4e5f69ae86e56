import java.util.Map;
import org.apache.beam.sdk.expansion.ExternalTransformRegistrar;
import org.apache.beam.sdk.extensions.sql.SqlTransform;
import org.apache.beam.sdk.transforms.ExternalTransformBuilder;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PInput;
import org.apache.beam.sdk.values.Row;

/** Offers Beam's SqlTransform to other languages. Beam has such a class only in a jar of 200 MB. */
public class SqlService implements ExternalTransformRegistrar {
  public Map<String, ExternalTransformBuilder<?, ?, ?>> knownBuilderInstances() {
    return Map.of("beam:external:java:sql:v1", new Builder());
  }

  public static class Configuration {
    String query;

    public void setQuery(String query) {
      this.query = query;
    }

    public void setDialect(String dialect) {}

    public void setDdl(String ddl) {}
  }

  public static class Builder
      implements ExternalTransformBuilder<Configuration, PInput, PCollection<Row>> {
    public PTransform<PInput, PCollection<Row>> buildExternal(Configuration configuration) {
      return SqlTransform.query(configuration.query);
    }
  }
}
